//! Names of systemd units in cgroup paths.

use std::sync::Arc;

/// Undoes systemd's `\xNN` escapes. What is no escape, or gives no printable text, stays as it is.
pub fn unescape(name: &str) -> Arc<str> {
    if !name.contains("\\x") {
        return name.into();
    }
    let bytes = name.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match escape(bytes.get(at..).unwrap_or_default()) {
            Some(value) => {
                plain.push(value);
                at += 4;
            }
            None => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    match String::from_utf8(plain) {
        Ok(plain) if !plain.chars().any(char::is_control) => plain.into(),
        _ => name.into(),
    }
}

fn escape(bytes: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = bytes else { return None };
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

/// The unit name in a path component: systemd puts `_` in front of names that the kernel would
/// take for files of its own.
pub(super) fn service(component: &str) -> Option<Arc<str>> {
    let name = component.strip_prefix('_').unwrap_or(component);
    let stem = name.strip_suffix(".service")?;
    (!stem.is_empty() && name.len() <= 255).then(|| unescape(name))
}

/// The user id of `user@<id>.service`.
pub(super) fn user_manager(component: &str) -> Option<&str> {
    let id = component.strip_prefix("user@")?.strip_suffix(".service")?;
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then_some(id)
}

/// The machine of `systemd-nspawn@<machine>.service` or `machine-<machine>.scope`. Virtual machines
/// of libvirt have scopes of the second form too, and no `payload` inside.
pub(super) fn machine(component: &str) -> Option<Arc<str>> {
    component
        .strip_prefix("systemd-nspawn@")
        .and_then(|rest| rest.strip_suffix(".service"))
        .or_else(|| component.strip_prefix("machine-").and_then(|rest| rest.strip_suffix(".scope")))
        .filter(|name| !name.is_empty())
        .map(unescape)
}
