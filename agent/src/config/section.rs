//! Settings, declared once: struct, defaults, documentation.

/// A group of settings that becomes a TOML table, a part of CONFIG.md and of the shipped file.
pub trait Section {
    /// One paragraph about the group.
    const HELP: &'static str;
    const FIELDS: &'static [Field];

    /// What is wrong with values that have the right type: one line that names the key and what to
    /// write instead. A section with something to check declares an inherent method of this name,
    /// which then takes the place of this one.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// One setting, for the generated documentation. Its default is taken from the default value.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub help: &'static [&'static str],
    /// The Rust type as written, for settings whose default value is absent.
    pub type_name: &'static str,
}

/// A section as listed in [`super::SECTIONS`].
#[derive(Clone, Copy, Debug)]
pub struct SectionDef {
    pub name: &'static str,
    pub help: &'static str,
    pub fields: &'static [Field],
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
        $(#[doc = $help:literal])+
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])+ $field_vis:vis $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[doc = $help])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $vis struct $name { $($(#[doc = $doc])+ $field_vis $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::config::Section for $name {
            const HELP: &'static str = concat!($($help),+);
            const FIELDS: &'static [$crate::config::Field] = &[
                $($crate::config::Field {
                    name: stringify!($field),
                    help: &[$($doc),+],
                    type_name: stringify!($type),
                },)*
            ];
        }
    };
}
