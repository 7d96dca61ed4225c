//! Which events a handler is for: an exact name, a glob or a regular expression. It must not know what a handler does.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::error::Error;
#[cfg(feature = "regex")]
use crate::error::ErrorKind;
use crate::event::EventName;
use crate::routing::Path;

/// The longest regular expression, in bytes: longer ones are programs, not patterns.
#[cfg(feature = "regex")]
const REGEX_BYTES: usize = 1_024;
/// The largest compiled regular expression, in bytes: it bounds the work per byte of an event name.
#[cfg(feature = "regex")]
const REGEX_COMPILED_BYTES: usize = 256 * 1024;

/// Which events a handler is for.
///
/// Text without `*` is the exact name of one event. In text with `*`, each `*` stands for any run of characters, also for none,
/// and nothing else is special: `user:*` matches `user:get` and `user:`. Regular expressions are made by
/// [`Pattern::regex`] (feature `regex`). Two patterns are equal when they are of one kind and of the same text.
///
/// An exact name that begins with `/` is a [`Path`]: it may be written carelessly and is formatted, so `/math/add/` is the
/// pattern `/math/add`. A name that does not begin with `/` is never changed. Paths are told to peers one by one, so requests
/// are not handled by a glob that begins with `/`; ticks and errors are, and there, too, `*` is any run of characters, slashes among them.
#[derive(Clone)]
pub struct Pattern(Kind);

#[derive(Clone)]
enum Kind {
    Exact(Arc<str>),
    Glob(Arc<Glob>),
    #[cfg(feature = "regex")]
    Regex(regex_lite::Regex),
}

impl Pattern {
    /// A regular expression in the syntax of the crate `regex-lite`. It matches anywhere in the name unless it is anchored with
    /// `^` and `$`, in time linear in the length of the name.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when the expression does not compile, or is longer than 1,024 bytes or too large once compiled.
    #[cfg(feature = "regex")]
    pub fn regex(expression: &str) -> Result<Self, Error> {
        let invalid = |why: String| Error::new(ErrorKind::InvalidArgument, why);
        if expression.len() > REGEX_BYTES {
            let found = expression.len();
            return Err(invalid(format!(
                "a regular expression has at most {REGEX_BYTES} bytes, this one has {found}"
            )));
        }
        regex_lite::RegexBuilder::new(expression)
            .size_limit(REGEX_COMPILED_BYTES)
            .build()
            .map(|regex| Self(Kind::Regex(regex)))
            .map_err(|why| {
                invalid(format!("the regular expression {expression:?} fails: {why}"))
                    .with_source(why)
            })
    }

    /// Whether an event of that name is meant.
    pub fn matches(&self, event: &str) -> bool {
        match &self.0 {
            Kind::Exact(name) => **name == *event,
            Kind::Glob(glob) => glob.matches(event),
            #[cfg(feature = "regex")]
            Kind::Regex(regex) => regex.is_match(event),
        }
    }

    /// The text this pattern was made of.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kind::Exact(name) => name,
            Kind::Glob(glob) => &glob.text,
            #[cfg(feature = "regex")]
            Kind::Regex(regex) => regex.as_str(),
        }
    }

    /// What keeps requests from being handled by this pattern: `INVALID_PATH` when it would handle paths by a glob that names none.
    pub(super) fn check_for_requests(&self) -> Result<(), Error> {
        match &self.0 {
            Kind::Glob(glob) if is_path(&glob.text) => Path::new(&*glob.text).map(drop),
            Kind::Exact(_) | Kind::Glob(_) => Ok(()),
            #[cfg(feature = "regex")]
            Kind::Regex(_) => Ok(()),
        }
    }

    /// The one name this pattern matches, if it is an exact one.
    pub(super) fn exact(&self) -> Option<&Arc<str>> {
        match &self.0 {
            Kind::Exact(name) => Some(name),
            Kind::Glob(_) => None,
            #[cfg(feature = "regex")]
            Kind::Regex(_) => None,
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.0) == std::mem::discriminant(&other.0)
            && self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Exact(_) => "exact",
            Kind::Glob(_) => "glob",
            #[cfg(feature = "regex")]
            Kind::Regex(_) => "regex",
        };
        write!(f, "Pattern({kind} {:?})", self.as_str())
    }
}

impl TryFrom<&str> for Pattern {
    type Error = Error;

    /// `INVALID_EVENT` when no event could have such a name: see [`EventName::new`]; `INVALID_PATH` when it begins with `/`, has no
    /// `*`, and is no path.
    fn try_from(text: &str) -> Result<Self, Error> {
        if is_path(text) && !text.contains('*') {
            return Path::new(text).map(Self::from);
        }
        // A glob obeys the rules of names too: what is longer or has control characters could match nothing.
        EventName::new(text)?;
        Ok(Self(match Glob::parse(text) {
            Some(glob) => Kind::Glob(Arc::new(glob)),
            None => Kind::Exact(text.into()),
        }))
    }
}

impl TryFrom<String> for Pattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::try_from(text.as_str())
    }
}

impl TryFrom<&String> for Pattern {
    type Error = Error;

    fn try_from(text: &String) -> Result<Self, Error> {
        Self::try_from(text.as_str())
    }
}

impl TryFrom<EventName> for Pattern {
    type Error = Error;

    /// The exact name, also when it holds a `*`; `INVALID_PATH` when it begins with `/` and is no path.
    fn try_from(name: EventName) -> Result<Self, Error> {
        if is_path(name.as_str()) {
            return Path::new(name.as_str()).map(Self::from);
        }
        Ok(Self(Kind::Exact(name.as_str().into())))
    }
}

impl<D, T> TryFrom<Endpoint<D, T>> for Pattern {
    type Error = Error;

    /// The exact name, also when it holds a `*`; `INVALID_EVENT` when it is none, `INVALID_PATH` when it begins with `/` and is no path.
    fn try_from(endpoint: Endpoint<D, T>) -> Result<Self, Error> {
        if is_path(endpoint.name()) {
            return Path::try_from(endpoint).map(Self::from);
        }
        EventName::try_from(endpoint)?.try_into()
    }
}

impl From<Path> for Pattern {
    /// The event that is called like the path.
    fn from(path: Path) -> Self {
        Self(Kind::Exact(path.as_str().into()))
    }
}

impl From<&Path> for Pattern {
    /// The event that is called like the path.
    fn from(path: &Path) -> Self {
        path.clone().into()
    }
}

impl<D, T> TryFrom<Endpoint<D, T>> for Path {
    type Error = Error;

    /// The name of the endpoint, formatted; `INVALID_PATH` when it is none.
    fn try_from(endpoint: Endpoint<D, T>) -> Result<Self, Error> {
        Self::new(endpoint.name())
    }
}

/// What may stand where a handler wants a pattern: a text, an [`EventName`], a [`Path`] or a [`Pattern`], which go with any
/// types, or an [`Endpoint`], which goes with its own: data of type `D`, an answer of type `T`.
pub trait IntoPattern<D, T>: TryInto<Pattern, Error: Into<Error>> {}

impl<D, T> IntoPattern<D, T> for &str {}
impl<D, T> IntoPattern<D, T> for &String {}
impl<D, T> IntoPattern<D, T> for String {}
impl<D, T> IntoPattern<D, T> for EventName {}
impl<D, T> IntoPattern<D, T> for Pattern {}
impl<D, T> IntoPattern<D, T> for Path {}
impl<D, T> IntoPattern<D, T> for &Path {}
impl<D, T> IntoPattern<D, T> for Endpoint<D, T> {}

/// What may stand where a service wants its path: a text, which may be written carelessly, or a [`Path`], which go with any
/// types, or an [`Endpoint`], which goes with its own: data of type `D`, an answer of type `T`.
pub trait IntoPath<D, T>: TryInto<Path, Error: Into<Error>> {}

impl<D, T> IntoPath<D, T> for &str {}
impl<D, T> IntoPath<D, T> for &String {}
impl<D, T> IntoPath<D, T> for String {}
impl<D, T> IntoPath<D, T> for Path {}
impl<D, T> IntoPath<D, T> for Endpoint<D, T> {}

/// Whether an event is a service path by its name. Only the first character counts, so that a name that is nearly a path is
/// judged as one, and refused or not found, instead of being an event that nobody meant.
pub(super) fn is_path(name: &str) -> bool {
    name.starts_with('/')
}

/// Lets a ready-made [`Pattern`] stand wherever text stands, which may fail to be one.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Text between stars. Matching takes the leftmost place for each part and never goes back, so it is linear.
struct Glob {
    text: Box<str>,
    /// Before the first star.
    prefix: Box<str>,
    /// Between two stars, without empty ones.
    middle: Box<[Box<str>]>,
    /// Behind the last star.
    suffix: Box<str>,
}

impl Glob {
    fn parse(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_once('*')?;
        let (middle, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        let middle = middle.split('*').filter(|part| !part.is_empty()).map(Into::into).collect();
        Some(Self { text: text.into(), prefix: prefix.into(), middle, suffix: suffix.into() })
    }

    fn matches(&self, event: &str) -> bool {
        let Some(rest) = event.strip_prefix(&*self.prefix) else { return false };
        let Some(mut rest) = rest.strip_suffix(&*self.suffix) else { return false };
        for part in &self.middle {
            let Some(at) = rest.find(&**part) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn pattern(text: &str) -> Pattern {
        Pattern::try_from(text).unwrap()
    }

    #[test]
    fn a_star_is_any_run_of_characters_and_nothing_else_is_special() {
        let _bound = crate::bound::bound();
        for (glob, event, expected) in [
            ("user:*", "user:get", true),
            ("user:*", "user:", true),
            ("user:*", "users:get", false),
            ("*", "anything at all", true),
            ("**", "x", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*b*", "abab", true),
            ("*b*b*", "ab", false),
            ("a*bc*d", "a-bc-bc-d", true),
            ("a?c*", "abc", false),
            ("[ab].*", "[ab].x", true),
            ("[ab].*", "a.x", false),
            ("ü*ß", "üß", true),
        ] {
            assert_eq!(pattern(glob).matches(event), expected, "{glob} on {event}");
        }
        assert!(pattern("a.b").matches("a.b") && !pattern("a.b").matches("axb"));
    }

    /// The plainest correct matcher, exponential or not.
    fn naive(glob: &[u8], event: &[u8]) -> bool {
        match (glob.first(), event.first()) {
            (None, None) => true,
            (Some(b'*'), _) => {
                naive(&glob[1..], event) || (!event.is_empty() && naive(glob, &event[1..]))
            }
            (Some(g), Some(e)) if g == e => naive(&glob[1..], &event[1..]),
            _ => false,
        }
    }

    #[test]
    fn globs_agree_with_a_naive_matcher() {
        let _bound = crate::bound::bound();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut text = |letters: &[u8], most: usize| -> String {
            let len = rng.usize(1..=most);
            (0..len).map(|_| char::from(letters[rng.usize(..letters.len())])).collect()
        };
        for _ in 0..20_000 {
            let (glob, event) = (text(b"ab**", 7), text(b"ab", 9));
            let expected = naive(glob.as_bytes(), event.as_bytes());
            assert_eq!(pattern(&glob).matches(&event), expected, "{glob} on {event}");
        }
    }

    #[test]
    fn a_glob_of_many_stars_does_not_blow_up() {
        let _bound = crate::bound::bound();
        let glob = pattern(&"a*".repeat(500));
        let event = format!("{}b", "a".repeat(499));
        let begun = std::time::Instant::now();
        for _ in 0..100 {
            assert!(!glob.matches(&event));
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(2));
    }

    #[test]
    fn names_that_no_event_can_have_are_refused() {
        let _bound = crate::bound::bound();
        for text in ["", "_system:*", "a\nb*", &"*".repeat(1_025)] {
            let error = Pattern::try_from(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidEvent, "{text:?}");
        }
    }

    #[test]
    fn exact_names_that_begin_with_a_slash_are_formatted_and_others_stay_as_they_are() {
        const ADD: Endpoint<(), ()> = Endpoint::new("//math/add/");
        let _bound = crate::bound::bound();
        let path = Pattern::from(Path::new("math/add").unwrap());
        assert_eq!((path.as_str(), path.exact().is_some()), ("/math/add", true));
        assert_eq!(pattern("/math//add/"), path);
        assert_eq!(Pattern::try_from(EventName::new("/math/add/").unwrap()).unwrap(), path);
        assert_eq!(Pattern::try_from(ADD).unwrap(), path);
        assert_eq!(pattern("math//add/").as_str(), "math//add/");
        // Shorter than its limit once it is formatted.
        assert_eq!(pattern(&format!("/math{}add", "/".repeat(2_000))), path);
    }

    #[test]
    fn exact_names_that_begin_with_a_slash_and_are_no_paths_are_refused() {
        const ROOT: Endpoint<(), ()> = Endpoint::new("/");
        const STAR: Endpoint<(), ()> = Endpoint::new("/math/*");
        let _bound = crate::bound::bound();
        let name = |name| Pattern::try_from(EventName::new(name).unwrap());
        let refused = [
            Pattern::try_from("/"),
            Pattern::try_from("/a b"),
            Pattern::try_from("/a\n"),
            Pattern::try_from(format!("/{}", "x".repeat(1_024))),
            name("/math/*"),
            name("/é"),
            Pattern::try_from(ROOT),
            Pattern::try_from(STAR),
        ];
        for refused in refused {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidPath);
        }
    }

    #[test]
    fn a_glob_that_begins_with_a_slash_is_for_ticks_and_errors_only() {
        let _bound = crate::bound::bound();
        for glob in ["/math/*", "/*", "/ma*", "/math/*/"] {
            let refused = pattern(glob).check_for_requests().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidPath, "{glob}");
        }
        assert!(pattern("/math/*").matches("/math/add/slow"));
        for text in ["*", "*/add", "math/*", "/math/add", "user:get"] {
            pattern(text).check_for_requests().unwrap();
        }
        #[cfg(feature = "regex")]
        Pattern::regex("/math/*").unwrap().check_for_requests().unwrap();
    }

    #[test]
    fn patterns_of_one_text_and_different_kinds_differ() {
        let _bound = crate::bound::bound();
        let exact = Pattern::try_from(EventName::new("a*").unwrap()).unwrap();
        assert_ne!(exact, pattern("a*"));
        assert_eq!(pattern("a*"), pattern("a*"));
        assert!(exact.matches("a*") && !exact.matches("ab"));
    }

    #[cfg(feature = "regex")]
    #[test]
    fn a_regex_matches_anywhere_and_is_limited_in_size() {
        let _bound = crate::bound::bound();
        assert!(Pattern::regex("fo+").unwrap().matches("a foo"));
        assert!(!Pattern::regex("^fo+$").unwrap().matches("a foo"));
        for expression in ["(", &"x".repeat(1_025), "((a{1000}){1000}){1000}"] {
            let error = Pattern::regex(expression).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
