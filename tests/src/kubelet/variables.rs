//! The environment of a container: what the manifest says, with what only the node knows filled in.

use anyhow::{Context as _, Result, bail};

use super::{
    Identity,
    cri::Pair,
    manifest::{FieldRef, ValueFrom, Variable},
};

/// The service by which every pod reaches the API server, as the kubelet announces it.
const API_SERVER: [(&str, &str); 4] = [
    ("KUBERNETES_PORT", "tcp://10.96.0.1:443"),
    ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
    ("KUBERNETES_SERVICE_PORT", "443"),
    ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
];

/// Variables in the order of the manifest, after those that every container gets.
pub(super) fn of(wanted: &[Variable], identity: &Identity) -> Result<Vec<Pair>> {
    let pair = |key: &str, value: &str| Pair { key: key.to_owned(), value: value.to_owned() };
    let mut known: Vec<Pair> = API_SERVER.iter().map(|(key, value)| pair(key, value)).collect();
    for Variable { name, value, value_from } in wanted {
        let value = match (value, value_from) {
            (Some(text), None) => expand(text, &known)?,
            (None, Some(ValueFrom { field_ref: FieldRef { field_path } })) => {
                field(field_path, identity)?
            }
            _ => bail!("variable {name} has no value, or two"),
        };
        known.push(Pair { key: name.clone(), value });
    }
    Ok(known)
}

/// A field of the pod, by the downward API.
fn field(path: &str, identity: &Identity) -> Result<String> {
    let Identity { name, namespace, uid, service_account, node } = identity;
    let found = match path {
        "metadata.name" => name,
        "metadata.namespace" => namespace,
        "metadata.uid" => uid,
        "spec.nodeName" => node,
        "spec.serviceAccountName" => service_account,
        path => bail!("field {path} is not known here"),
    };
    Ok(found.clone())
}

/// Puts variables in place of `$(NAME)`. One that is not known stays as it is, which here nobody wants.
fn expand(text: &str, known: &[Pair]) -> Result<String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        let (name, after) = after.split_once(')').with_context(|| format!("{text}: no `)`"))?;
        // Of two variables of one name the later one counts.
        let variable = known.iter().rfind(|pair| pair.key == name);
        let variable = variable.with_context(|| format!("{text}: no {name} before"))?;
        expanded = expanded + before + &variable.value;
        rest = after;
    }
    Ok(expanded + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_variables() {
        let wanted = r#"[{"name":"NODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}},
                         {"name":"ALL","value":"k8s.node.name=$(NODE),host=$(KUBERNETES_SERVICE_HOST)"}]"#;
        let wanted: Vec<Variable> = serde_json::from_str(wanted).unwrap();
        let identity = Identity {
            name: String::new(),
            namespace: String::new(),
            uid: String::new(),
            service_account: String::new(),
            node: "node-1".to_owned(),
        };
        let found = of(&wanted, &identity).unwrap();
        assert_eq!(found.last().unwrap().value, "k8s.node.name=node-1,host=10.96.0.1");
        assert!(expand("$(NONE)", &found).is_err());
    }
}
