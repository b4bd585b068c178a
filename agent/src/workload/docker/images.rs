//! Images of the containers seen, asked about once each.

use std::sync::Arc;

use super::{
    describe::{self, Base},
    model::Image,
};
use crate::workload::{
    cgroup,
    runtime::{cache::Cache, image::ImageFacts, problem::Problem, rest::Client},
};

/// Most images kept. A host runs containers of far fewer.
const MOST: usize = 256;
/// Most steps that are followed back in search of the image another one was built from.
const MOST_STEPS: usize = 64;

/// Images by id. Tags come and go: what is known does not hold for long.
pub(in crate::workload) struct Images(Cache<String, Arc<ImageFacts>>);

impl Default for Images {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl Images {
    /// Facts of the image with this id; `None` when it was removed while its container runs.
    pub(super) async fn get(
        &mut self,
        client: &Client,
        id: &str,
        runtime: &str,
        allowed: &[String],
    ) -> Result<Option<Arc<ImageFacts>>, Problem> {
        let key = id.to_owned();
        if let Some(facts) = self.0.get(&key) {
            return Ok(Some(facts));
        }
        let Some(image) = inspect(client, id).await? else { return Ok(None) };
        let is_recorded = runtime == "docker";
        let base = base(client, &image).await?.map(|image| Base { image, is_recorded });
        let facts = Arc::new(describe::image(&image, base.as_ref(), allowed));
        self.0.put(key, facts.clone());
        Ok(Some(facts))
    }

    pub(in crate::workload) fn clear(&mut self) {
        self.0.clear();
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
    if !cgroup::hex64(hash) {
        return Ok(None);
    }
    client.get(&format!("/images/sha256:{hash}/json")).await
}
