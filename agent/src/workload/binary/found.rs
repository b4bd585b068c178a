//! What was found out about the program that an interpreter runs.

/// A program with a name of its own. Empty texts are what is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Where it is installed, as its process names the place: what tells it from others of its name.
    pub place: String,
    /// Where the name and version were read: a few words.
    pub origin: String,
    pub name: String,
    pub version: String,
    /// The commit, and whether there were changes that are in none.
    pub revision: String,
    pub is_modified: bool,
    pub branch: String,
    pub repository: String,
    /// Who made the commit.
    pub author: String,
    /// RFC 3339.
    pub commit_time: String,
    /// RFC 3339.
    pub build_time: String,
}
