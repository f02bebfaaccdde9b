//! Small plots of characters, for terminals and for mail.

use std::io::IsTerminal as _;

use crate::verdict::Verdict;

const NARROWEST: usize = 60;
const WIDEST: usize = 120;
const USUAL: usize = 80;

/// What the terminal can show.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    pub(crate) width: usize,
    /// Block characters; plain ASCII where the locale is not UTF-8.
    pub(crate) unicode: bool,
    pub(crate) colour: bool,
}

impl Style {
    /// What stdout can show: the terminal's width or 80, by the locale's characters.
    pub(crate) fn of_stdout() -> Style {
        let stdout = std::io::stdout();
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let columns = match stdout.is_terminal() {
            true => rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| size.ws_col),
            false => 0,
        };
        let width = match usize::from(columns) {
            0 => USUAL,
            columns => columns.clamp(NARROWEST, WIDEST),
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let locale = locale.unwrap_or_default().to_lowercase();
        let unicode = locale.contains("utf-8") || locale.contains("utf8");
        let colour = stdout.is_terminal() && set("NO_COLOR").is_none();
        Style { width, unicode, colour }
    }

    /// A verdict, in its colour.
    pub(crate) fn verdict(&self, verdict: Verdict) -> String {
        let name = verdict.name();
        if !self.colour {
            return name.into();
        }
        let code = match verdict {
            Verdict::Good => 32,
            Verdict::Warning => 33,
            Verdict::Fail => 31,
        };
        format!("\x1b[1;{code}m{name}\x1b[0m")
    }

    /// A bar of up to `cells` cells. What is not nothing is never shown as nothing.
    pub(crate) fn bar(&self, share: f64, cells: usize) -> String {
        let share = share.clamp(0.0, 1.0);
        if !self.unicode {
            let n = (share * cells as f64).round() as usize;
            let least = if share > 0.0 { 1 } else { 0 };
            return "#".repeat(n.max(least));
        }
        let eighths = (share * cells as f64 * 8.0).round() as usize;
        let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
        let mut bar = "█".repeat(eighths / 8);
        bar.extend(
            ['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get((eighths % 8).wrapping_sub(1)),
        );
        bar
    }

    /// A bar from one place to another of `cells` cells, and a line on to a third; places
    /// are shares. What lies beyond the end is an arrow there.
    pub(crate) fn span(&self, from: f64, to: f64, late: f64, cells: usize) -> String {
        let (full, line, arrow) =
            if self.unicode { ('█', '─', '▸') } else { ('#', '-', '>') };
        let cell = |share: f64| (share.clamp(0.0, 1.0) * cells as f64) as usize;
        let start = cell(from).min(cells.saturating_sub(1));
        let end = cell(to).max(start + 1).min(cells);
        let far = cell(late).max(end);
        let mut span: Vec<char> = vec![' '; cells];
        span[start..end].fill(full);
        span[end..far].fill(line);
        if let Some(last) = span.last_mut().filter(|_| late > 1.0 && far > end) {
            *last = arrow;
        }
        span.into_iter().collect()
    }

    /// Values as one line of characters, each as high as its value from `low` to `high`;
    /// a blank where there is none.
    pub(crate) fn sparkline(
        &self,
        values: &[Option<f64>],
        low: f64,
        high: f64,
    ) -> String {
        let levels: &[char] = match self.unicode {
            true => &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            false => &['_', '.', '-', '=', '+', '*', '#', '@'],
        };
        let level = |value: f64| {
            let share = if high > low { (value - low) / (high - low) } else { 0.0 };
            let at = (share.clamp(0.0, 1.0) * (levels.len() - 1) as f64).round();
            levels[at as usize]
        };
        values.iter().map(|value| value.map_or(' ', level)).collect()
    }

    /// Text in lines of up to so many characters, cut between words.
    pub(crate) fn fill(text: &str, cells: usize) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split(' ') {
            let line = lines.last().map_or(0, |line| line.chars().count());
            match lines.last_mut() {
                Some(last) if line == 0 => last.push_str(word),
                Some(last) if line + 1 + word.chars().count() <= cells => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => lines.push(word.into()),
            }
        }
        lines
    }

    /// Text cut to so many characters.
    pub(crate) fn cut(&self, text: &str, cells: usize) -> String {
        if text.chars().count() <= cells {
            return text.into();
        }
        let (dots, taken) = if self.unicode { ("…", 1) } else { ("...", 3) };
        let kept: String = text.chars().take(cells.saturating_sub(taken)).collect();
        kept + dots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_lines_have_their_size() {
        let plain = Style { width: 80, unicode: false, colour: false };
        let fancy = Style { unicode: true, ..plain.clone() };
        assert_eq!(plain.bar(0.5, 10), "#####");
        assert_eq!(plain.bar(1e-9, 10), "#");
        assert_eq!(plain.bar(0.0, 10), "");
        assert_eq!(fancy.bar(0.55, 10), "█████▌");
        assert_eq!(plain.span(0.0, 0.3, 0.5, 10), "###--     ");
        assert_eq!(plain.span(0.3, 0.31, 0.0, 10), "   #      ");
        assert_eq!(plain.span(0.9, 1.0, 1.0, 10), "         #");
        assert_eq!(plain.span(1.0, 1.0, 9.0, 10), "         #");
        assert_eq!(plain.span(0.0, 0.1, 9.0, 10), "#-------->");
        let values = [Some(0.0), None, Some(10.0)];
        assert_eq!(fancy.sparkline(&values, 0.0, 10.0), "▁ █");
        assert_eq!(plain.sparkline(&values, 0.0, 10.0), "_ @");
        assert_eq!(Style::fill("one two three", 7), ["one two", "three"]);
        assert_eq!(plain.cut("jitter-report", 8), "jitte...");
    }
}
