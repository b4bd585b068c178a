//! Exporter `prometheus`.

crate::settings! {
    /// Prometheus scrape endpoint.
    pub struct Settings {
        /// Whether `/metrics` is served.
        pub enabled: bool = false,
        /// Address to listen on.
        pub listen: String = "127.0.0.1:9464".to_owned(),
    }
}
