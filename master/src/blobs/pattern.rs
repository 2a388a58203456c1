use globset::{GlobBuilder, GlobMatcher};

/// Longest pattern.
const PATTERN_LIMIT_BYTES: usize = 4096;
/// Characters that mean more than themselves.
const SPECIAL: [char; 5] = ['*', '?', '[', '{', '\\'];

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Longer than any useful one.
    #[error("a pattern has at most {PATTERN_LIMIT_BYTES} bytes, this one {0}")]
    TooLong(usize),
    /// Not well formed.
    #[error("{0}")]
    Malformed(String),
}

/// A shell pattern over whole keys. A key is flat: `*` and `?` match '/' like anything else.
#[derive(Debug, Clone)]
pub struct Pattern {
    literal_prefix: String,
    matcher: Option<GlobMatcher>,
}

impl Pattern {
    /// From its text; an empty one matches every key.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        if text.len() > PATTERN_LIMIT_BYTES {
            return Err(InvalidPattern::TooLong(text.len()));
        }
        if text.is_empty() || text == "*" {
            return Ok(Self { literal_prefix: String::new(), matcher: None });
        }
        let glob = GlobBuilder::new(text)
            .literal_separator(false)
            .backslash_escape(true)
            .build()
            .map_err(|error| InvalidPattern::Malformed(error.to_string()))?;
        let literal = text.find(SPECIAL).map_or(text, |end| &text[..end]);
        Ok(Self { literal_prefix: literal.to_owned(), matcher: Some(glob.compile_matcher()) })
    }

    /// Every key that matches begins with this.
    pub fn literal_prefix(&self) -> &str {
        &self.literal_prefix
    }

    /// Whether a key matches.
    pub fn matches(&self, key: &str) -> bool {
        self.matcher.as_ref().is_none_or(|matcher| matcher.is_match(key))
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn matching(pattern: &str) -> Vec<&'static str> {
        let pattern = Pattern::new(pattern).unwrap();
        ["a", "ab", "a/b.jpg", "b.jpg", "b.png", "*", "ä"]
            .into_iter()
            .filter(|key| key.starts_with(pattern.literal_prefix()) && pattern.matches(key))
            .collect()
    }

    #[test]
    fn patterns_are_those_of_a_shell_over_whole_keys() {
        assert_eq!(matching(""), matching("*"));
        assert_eq!(matching("*").len(), 7);
        assert_eq!(matching("a*"), ["a", "ab", "a/b.jpg"]);
        assert_eq!(matching("a"), ["a"]);
        assert_eq!(matching("*.{jpg,png}"), ["a/b.jpg", "b.jpg", "b.png"]);
        assert_eq!(matching("[ab]?"), ["ab"]);
        assert_eq!(matching("\\*"), ["*"]);
        assert_eq!(matching("ä"), ["ä"]);
    }

    #[test]
    fn the_literal_prefix_ends_at_the_first_special_character() {
        assert_eq!(Pattern::new("photos/2026-*.jpg").unwrap().literal_prefix(), "photos/2026-");
        assert_eq!(Pattern::new("a\\*b").unwrap().literal_prefix(), "a");
    }

    #[test]
    fn a_malformed_pattern_is_refused() {
        assert!(Pattern::new("[a").is_err());
        assert!(Pattern::new(&"a".repeat(5000)).is_err());
    }
}
