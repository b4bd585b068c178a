//! Exporter `console`.

crate::settings! {
    /// Table on the terminal.
    pub struct Settings {
        /// Whether the table is shown.
        pub enabled: bool = false,
    }
}
