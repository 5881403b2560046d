//! Numbers for people and for scripts.

use std::fmt::{self, Display};

/// Named numbers of one measurement. Shown, it is a line for each and then all in one line of JSON.
#[derive(Debug)]
pub struct Report {
    measurement: &'static str,
    numbers: Vec<(String, String)>,
}

impl Report {
    /// A report without numbers.
    pub fn new(measurement: &'static str) -> Report {
        Report { measurement, numbers: Vec::new() }
    }

    /// Adds a whole number.
    pub fn count(&mut self, name: impl Into<String>, value: u64) {
        self.add(name.into(), &value);
    }

    /// Adds a number, shown with one digit behind the point.
    pub fn rate(&mut self, name: impl Into<String>, value: f64) {
        self.add(name.into(), &format_args!("{value:.1}"));
    }

    fn add(&mut self, name: String, value: &dyn Display) {
        self.numbers.push((name, value.to_string()));
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.numbers.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        writeln!(f, "{}", self.measurement)?;
        for (name, value) in &self.numbers {
            writeln!(f, "  {name:width$}  {value:>14}")?;
        }
        write!(f, r#"{{"measurement":"{}""#, self.measurement)?;
        for (name, value) in &self.numbers {
            write!(f, r#","{name}":{value}"#)?;
        }
        f.write_str("}")
    }
}
