//! Maps in CSV: a row for each sensor, found by the names of its columns.

use libframe::schema::Sensor;

use crate::{SensorMap, index};

/// Reads a map with the columns `sensor_id` and `data_frame_index`, and `x_mm`, `y_mm` and
/// `region` if they are there. Indices count from 1; a row with -1 is a sensor that is on
/// the drawing and not in the samples, and is left out.
pub(crate) fn parse(text: &str) -> Result<SensorMap, String> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let columns = Columns::find(reader.headers().map_err(|err| err.to_string())?)?;
    let mut sensors = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|err| err.to_string())?;
        let line = row.position().map_or(0, csv::Position::line);
        let sensor = columns.sensor(&row).map_err(|why| format!("line {line}: {why}"))?;
        sensors.extend(sensor);
    }
    Ok(SensorMap { sensors, ..SensorMap::default() })
}

struct Columns {
    id: usize,
    index: usize,
    position: Option<(usize, usize)>,
    region: Option<usize>,
}

impl Columns {
    fn find(header: &csv::StringRecord) -> Result<Columns, String> {
        let find = |name: &str| header.iter().position(|column| column == name);
        let need = |name: &str| {
            let hint = "needs the columns sensor_id and data_frame_index";
            find(name).ok_or_else(|| format!("no column {name}; a map {hint}"))
        };
        Ok(Columns {
            id: need("sensor_id")?,
            index: need("data_frame_index")?,
            position: find("x_mm").zip(find("y_mm")),
            region: find("region"),
        })
    }

    fn sensor(&self, row: &csv::StringRecord) -> Result<Option<Sensor>, String> {
        let place: i64 = number(row, self.index)?;
        if place == -1 {
            return Ok(None);
        }
        let position = match self.position {
            Some((x, y)) => Some([number(row, x)?, number(row, y)?, 0.0]),
            None => None,
        };
        let region = self.region.and_then(|at| row.get(at)).unwrap_or_default().into();
        let (id, index) = (number(row, self.id)?, index(place, 1)?);
        Ok(Some(Sensor { id, index, region, position }))
    }
}

fn number<T: std::str::FromStr>(
    row: &csv::StringRecord,
    column: usize,
) -> Result<T, String> {
    let text = row.get(column).unwrap_or_default();
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_unassigned_rows_left_out() {
        let text = "region , data_frame_index,sensor_id,x_mm,y_mm\n\
                    palm,23,7,1.5,2 \nthumb,-1,8,0,0\nlittle_body,222,9,3,4\n";
        let sensors = parse(text).unwrap().sensors;
        let told: Vec<_> = sensors.iter().map(|s| (s.id, s.index, &*s.region)).collect();
        assert_eq!(told, [(7, 22, "palm"), (9, 221, "little_body")]);
        assert_eq!(sensors[0].position, Some([1.5, 2.0, 0.0]));
    }

    #[test]
    fn what_is_no_map_is_told_with_its_line() {
        let error = parse("a,b\n1,2\n").unwrap_err();
        assert!(error.contains("no column sensor_id"), "{error}");
        let error = parse("sensor_id,data_frame_index\n1,2\nx,3\n").unwrap_err();
        assert_eq!(error, "line 3: \"x\" is no number");
        let error = parse("sensor_id,data_frame_index\n1,0\n").unwrap_err();
        assert_eq!(error, "line 2: index 0 is no place; they begin at 1");
    }
}
