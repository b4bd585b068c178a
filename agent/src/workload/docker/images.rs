//! Images of the containers seen, asked about once each.

use std::{collections::VecDeque, sync::Arc};

use rustc_hash::FxHashMap;

use super::{
    client::{Client, Problem},
    describe,
    model::Image,
};
use crate::workload::Attribute;

/// Most images kept. A host runs containers of far fewer.
const MOST: usize = 256;
/// Most steps that are followed back in search of the image another one was built from.
const MOST_STEPS: usize = 64;

/// What is told about an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ImageFacts {
    /// `name:tag`.
    pub names: Vec<Arc<str>>,
    /// `name@digest`.
    pub digests: Vec<Arc<str>>,
    pub created: Option<String>,
    /// Labels of the image and of its base.
    pub labels: Vec<Attribute>,
}

/// A bounded cache of images by id, oldest out first.
#[derive(Default)]
pub(super) struct Images {
    known: FxHashMap<String, Arc<ImageFacts>>,
    order: VecDeque<String>,
}

impl Images {
    /// Facts of the image with this id; `None` when it was removed while its container runs.
    pub(super) async fn get(
        &mut self,
        client: &Client,
        id: &str,
        allowed: &[String],
    ) -> Result<Option<Arc<ImageFacts>>, Problem> {
        if let Some(facts) = self.known.get(id) {
            return Ok(Some(facts.clone()));
        }
        let Some(image) = inspect(client, id).await? else { return Ok(None) };
        let base = base(client, &image).await?;
        let facts = Arc::new(describe::image(&image, base.as_ref(), allowed));
        if self.order.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(id.to_owned());
        self.known.insert(id.to_owned(), facts.clone());
        Ok(Some(facts))
    }

    /// Tags come and go: what is known holds for one connection to the daemon.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.order.clear();
    }
}

/// The nearest ancestor that has a name of its own: steps in between are of the same build.
async fn base(client: &Client, image: &Image) -> Result<Option<Image>, Problem> {
    let mut parent = image.parent.clone();
    for _ in 0..MOST_STEPS {
        let Some(id) = parent.filter(|id| !id.is_empty()) else { return Ok(None) };
        let Some(image) = inspect(client, &id).await? else { return Ok(None) };
        if image.repo_tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
            return Ok(Some(image));
        }
        parent = image.parent;
    }
    Ok(None)
}

async fn inspect(client: &Client, id: &str) -> Result<Option<Image>, Problem> {
    // Ids are put into a path: nothing but ids.
    let hash = id.strip_prefix("sha256:").unwrap_or(id);
    if !crate::workload::cgroup::hex64(hash) {
        return Ok(None);
    }
    client.get(&format!("/images/sha256:{hash}/json")).await
}
