//! Where the next recording goes: a folder, a template, labels, and the first number that no
//! file has.

use std::path::{Path, PathBuf};

use crate::template::{Labels, Template};

/// Numbers that are tried.
const MAX_RUN: u32 = 99_999;

/// A form that recordings have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Xdf,
    H5,
}

impl Form {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Form::Xdf => "xdf",
            Form::H5 => "h5",
        }
    }

    /// The tool that writes it.
    pub(crate) fn tool(self) -> &'static str {
        match self {
            Form::Xdf => "to-xdf",
            Form::H5 => "to-h5",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Form> {
        [Form::Xdf, Form::H5].into_iter().find(|form| form.name() == name)
    }
}

/// What recordings are called.
#[derive(Clone, Debug)]
pub(crate) struct Study {
    pub(crate) root: PathBuf,
    pub(crate) template: Template,
    pub(crate) labels: Labels,
    /// The first number that a run may have.
    pub(crate) run: u32,
    pub(crate) forms: Vec<Form>,
}

/// The files of one recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The number, if it is in the names.
    pub(crate) run: Option<u32>,
    pub(crate) files: Vec<(Form, PathBuf)>,
}

impl Study {
    /// The next names that are all free.
    pub(crate) fn next(&self, is_free: impl Fn(&Path) -> bool) -> Result<Names, String> {
        let counts = self.template.counts();
        let first = if counts { self.run } else { 0 };
        for number in first..=MAX_RUN {
            let name = self.template.expand(&self.labels, number)?;
            let stem = stem(&name);
            let stem = match number {
                // A name without a place for the number has it at its end.
                1.. if !counts => format!("{stem}-{number:03}"),
                _ => stem.into(),
            };
            let path = |form: &Form| self.root.join(format!("{stem}.{}", form.name()));
            let files: Vec<_> =
                self.forms.iter().map(|form| (*form, path(form))).collect();
            if files.iter().all(|(_, path)| is_free(path)) {
                return Ok(Names { run: Some(number).filter(|_| counts), files });
            }
        }
        Err(format!("no number up to {MAX_RUN} is free; choose other labels"))
    }
}

/// A name without the ending of a form.
fn stem(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, end)) if Form::of_name(&end.to_lowercase()).is_some() => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(template: &str, forms: &[Form]) -> Study {
        Study {
            root: "/data".into(),
            template: Template::parse(template).unwrap(),
            labels: Labels::default(),
            run: 1,
            forms: forms.to_vec(),
        }
    }

    fn next(study: &Study, taken: &[&str]) -> Vec<String> {
        let is_free = |path: &Path| !taken.contains(&path.to_str().unwrap());
        let names = study.next(is_free).unwrap();
        names.files.iter().map(|(_, path)| path.display().to_string()).collect()
    }

    #[test]
    fn the_first_number_that_no_form_has_is_taken() {
        let both = study("exp%n/x.xdf", &[Form::Xdf, Form::H5]);
        assert_eq!(next(&both, &[]), ["/data/exp001/x.xdf", "/data/exp001/x.h5"]);
        let taken = ["/data/exp001/x.xdf", "/data/exp002/x.h5"];
        assert_eq!(next(&both, &taken), ["/data/exp003/x.xdf", "/data/exp003/x.h5"]);
        let later = Study { run: 7, ..both };
        assert_eq!(next(&later, &taken)[0], "/data/exp007/x.xdf");
    }

    #[test]
    fn names_without_a_number_get_one_behind() {
        let plain = study("a.b_%p.XDF", &[Form::Xdf]);
        assert_eq!(next(&plain, &[]), ["/data/a.b_P001.xdf"]);
        assert_eq!(next(&plain, &["/data/a.b_P001.xdf"]), ["/data/a.b_P001-001.xdf"]);
        assert_eq!(next(&study("a", &[Form::H5]), &[]), ["/data/a.h5"]);
    }

    #[test]
    fn the_search_ends() {
        let told = study("x.xdf", &[Form::Xdf]).next(|_| false).unwrap_err();
        assert!(told.contains("99999"), "{told}");
    }
}
