//! Owns what a recipe says of a package for people alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;
use crate::url::is_web_page;

/// What a recipe says for people alone: it is no part of what is hashed, so it travels in the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// An SPDX licence expression, or the name of a licence that SPDX does not list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// Where upstream lives: the address of a web page.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub homepage: String,
    /// One sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl About {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The homepage where it is the address of one; nothing else is told to programs.
    pub(crate) fn web_page(&self) -> Option<&str> {
        Some(self.homepage.as_str()).filter(|homepage| is_web_page(homepage))
    }

    /// What `recipe` says.
    pub fn of(recipe: &Recipe) -> Self {
        Self {
            license: recipe.license.clone(),
            homepage: recipe.homepage.clone(),
            description: recipe.description.clone(),
        }
    }
}
