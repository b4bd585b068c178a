//! Settings, declared once: struct, defaults, documentation.

/// A group of settings that becomes a TOML table, a part of CONFIG.md and of the shipped file.
pub trait Section {
    /// One paragraph about the group.
    const HELP: &'static str;
    const FIELDS: &'static [Field];
}

/// One setting, for the generated documentation. Type and default are taken from the default value.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub help: &'static [&'static str],
}

/// Declares a settings struct: every field has a doc comment and a default, unknown keys are errors.
///
/// ```
/// shipwake::settings! {
///     /// Capture of HTTP.
///     pub struct Http {
///         /// Most path templates learned per service.
///         pub templates: u32 = 200,
///     }
/// }
/// assert_eq!(Http::default().templates, 200);
/// ```
#[macro_export]
macro_rules! settings {
    (
        #[doc = $help:literal]
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])+ $field_vis:vis $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        #[doc = $help]
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $vis struct $name { $($(#[doc = $doc])+ $field_vis $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::config::Section for $name {
            const HELP: &'static str = $help;
            const FIELDS: &'static [$crate::config::Field] = &[
                $($crate::config::Field { name: stringify!($field), help: &[$($doc),+] },)*
            ];
        }
    };
}
