//! Signal `http`.

crate::settings! {
    /// HTTP.
    pub struct Settings {
        /// Most path templates learned per service; paths beyond are one template called `/{other}`.
        pub templates: u32 = 200,
        /// Path patterns that name routes, like `/users/{id}`. They set `http.route`.
        pub routes: Vec<String> = Vec::new(),
        /// Copies a learned path template to `http.route`, which the conventions do not allow.
        pub http_route_from_template: bool = false,
        /// A response is over when its connection has been silent for this long.
        pub idle: crate::config::Span = crate::config::Span::secs(5),
    }
}
