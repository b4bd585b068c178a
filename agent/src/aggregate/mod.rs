//! Points per workload and window; histograms; the cardinality limit.

pub mod buckets;
pub mod cell;
pub mod explicit;
pub mod exponential;
#[cfg(test)]
pub(crate) mod ledger;
pub mod store;
pub mod view;

crate::settings! {
    /// Aggregation.
    pub struct Settings {
        /// Time between two exports.
        pub interval: crate::config::Span = crate::config::Span::secs(10),
        /// Most points per metric and resource; what is beyond goes into one overflow point.
        pub cardinality_limit: u32 = 2000,
        /// `exponential` or `explicit` histograms.
        pub histogram: String = "exponential".to_owned(),
        /// Whether points that belong to one process carry `process.pid` and `process.executable.name`.
        pub process_attributes: bool = true,
    }
}

impl Settings {
    /// Whether the values make sense.
    pub fn check(&self) -> Result<(), String> {
        if !matches!(self.histogram.as_str(), "exponential" | "explicit") {
            let known = "write `exponential` or `explicit`";
            return Err(format!("histogram: `{}` is not known; {known}", self.histogram));
        }
        if self.interval < crate::config::Span::secs(1) {
            return Err(format!("interval: {} is too short; write at least 1s", self.interval));
        }
        if self.cardinality_limit == 0 {
            return Err("cardinality_limit: 0 points are too few; write at least 1".to_owned());
        }
        Ok(())
    }
}
