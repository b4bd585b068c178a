//! Exporter `otlp`.

crate::settings! {
    /// OTLP.
    pub struct Settings {
        /// Whether reports are sent over OTLP.
        pub enabled: bool = false,
        /// Base URL of the receiver. Empty: `http://localhost:4317` for gRPC, `http://localhost:4318` for HTTP.
        pub endpoint: String = String::new(),
    }
}
