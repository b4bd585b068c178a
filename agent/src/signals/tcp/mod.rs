//! Signal `tcp`.

crate::settings! {
    /// TCP.
    pub struct Settings {
        /// Most peers told apart per process; the others are one peer called `other`.
        pub peers: u32 = 100,
    }
}
