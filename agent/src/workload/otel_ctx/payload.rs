//! The payload: what a process says about itself, as protobuf.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    resource::v1::Resource,
};
use prost::Message;

use crate::workload::{Attribute, AttributeValue, names, text};

/// Most attributes of one process.
const MOST_ATTRIBUTES: usize = 64;

/// The message as the specification has it now.
#[derive(Clone, PartialEq, Message)]
struct ProcessContext {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    /// What describes the process beyond its resource.
    #[prost(message, repeated, tag = "2")]
    attributes: Vec<KeyValue>,
}

/// The facts in a payload. `None` when it is no such message.
///
/// Publishers of the first drafts write a resource without anything around it. What is one is not the
/// other: a key where a resource should be is malformed.
pub fn decode(bytes: &[u8]) -> Option<Vec<Attribute>> {
    let attributes = match ProcessContext::decode(bytes) {
        Ok(ProcessContext { resource, attributes }) => {
            let mut all = resource.map(|resource| resource.attributes).unwrap_or_default();
            all.extend(attributes);
            all
        }
        Err(_) => Resource::decode(bytes).ok()?.attributes,
    };
    let mut facts: Vec<Attribute> = Vec::new();
    for KeyValue { key, value, .. } in attributes {
        let good = !key.is_empty() && key.len() <= text::LONGEST_NAME;
        let Some(value) = value.filter(|_| good).and_then(plain) else { continue };
        let key = format!("{}{key}", names::CONTEXT);
        // Of a key that is there twice, nobody knows which one is meant.
        if let Some(at) = facts.iter().position(|fact| *fact.key == *key) {
            if facts.get(at).is_some_and(|fact| fact.value != value) {
                facts.remove(at);
            }
        } else if facts.len() < MOST_ATTRIBUTES {
            facts.push(Attribute { key: key.into(), value });
        }
    }
    Some(facts)
}

fn plain(value: AnyValue) -> Option<AttributeValue> {
    match value.value? {
        any_value::Value::StringValue(value) => text::clean(&value).map(AttributeValue::from),
        any_value::Value::BoolValue(value) => Some(AttributeValue::Bool(value)),
        any_value::Value::IntValue(value) => Some(AttributeValue::Int(value)),
        any_value::Value::ArrayValue(array) => {
            let texts = array.values.into_iter().map(|one| match plain(one)? {
                AttributeValue::Str(text) => Some(text),
                _ => None,
            });
            texts.take(MOST_ATTRIBUTES).collect::<Option<_>>().map(AttributeValue::Strs)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::ArrayValue;

    use super::*;

    fn text_value(value: &str) -> any_value::Value {
        any_value::Value::StringValue(value.to_owned())
    }

    fn pair(key: &str, value: any_value::Value) -> KeyValue {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    fn resource(attributes: Vec<KeyValue>) -> Resource {
        Resource { attributes, ..Resource::default() }
    }

    fn context(attributes: Vec<KeyValue>) -> Vec<u8> {
        let resource = Some(resource(attributes));
        ProcessContext { resource, attributes: Vec::new() }.encode_to_vec()
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<&[(&str, &str)]>) {
        let found = decode(bytes).map(|facts| {
            let text = |fact: Attribute| (fact.key.to_string(), fact.value.to_string());
            facts.into_iter().map(text).collect::<Vec<_>>()
        });
        let expected = expected.map(|pairs| {
            let own =
                |(key, value): &(&str, &str)| (format!("~context.{key}"), (*value).to_owned());
            pairs.iter().map(own).collect::<Vec<_>>()
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn both_forms_of_the_message() {
        let pairs = || vec![pair("service.name", text_value("shop")), pair("n", text_value("ü"))];
        let expected: &[_] = &[("service.name", "shop"), ("n", "ü")];
        check(&context(pairs()), Some(expected));
        check(&resource(pairs()).encode_to_vec(), Some(expected));
        check(
            &ProcessContext { resource: None, attributes: pairs() }.encode_to_vec(),
            Some(expected),
        );
        check(&[], Some(&[]));
    }

    #[test]
    fn values_of_every_kind() {
        let array = |values: Vec<any_value::Value>| {
            let values = values.into_iter().map(|value| AnyValue { value: Some(value) }).collect();
            any_value::Value::ArrayValue(ArrayValue { values })
        };
        let pairs = vec![
            pair("bool", any_value::Value::BoolValue(true)),
            pair("int", any_value::Value::IntValue(-7)),
            pair("double", any_value::Value::DoubleValue(0.5)),
            pair("bytes", any_value::Value::BytesValue(vec![1])),
            pair("array", array(vec![text_value("a"), text_value("b")])),
            pair("mixed", array(vec![text_value("a"), any_value::Value::IntValue(1)])),
            pair("control", text_value("a\nb")),
            pair("long", text_value(&"x".repeat(5000))),
            pair(&"k".repeat(300), text_value("x")),
            KeyValue { key: "none".to_owned(), ..KeyValue::default() },
        ];
        check(&context(pairs), Some(&[("bool", "true"), ("int", "-7"), ("array", "a, b")]));
    }

    #[test]
    fn a_key_with_two_values_has_none() {
        let twice = |a, b| context(vec![pair("k", text_value(a)), pair("k", text_value(b))]);
        check(&twice("1", "2"), Some(&[]));
        check(&twice("1", "1"), Some(&[("k", "1")]));
    }

    #[test]
    fn bytes_of_any_kind() {
        check(b"\xff\xff\xff", None);
        check(b"OTEL_CTX", None);
        check(&[0x0a, 0x7f], None);
        let many = (0..500).map(|n| pair(&format!("k{n}"), text_value("x"))).collect();
        assert_eq!(decode(&context(many)).unwrap().len(), MOST_ATTRIBUTES);
    }
}
