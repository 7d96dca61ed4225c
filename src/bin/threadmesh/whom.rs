//! Whom a call of the command line is for.

use clap::Args;
use threadmesh::{Call, Filter, Handle, Selector};

use crate::data;
use crate::failure::Failure;

/// Exactly one of these.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Whom {
    /// The node of this id
    #[arg(long, value_name = "ID")]
    pub(crate) to: Option<String>,

    /// Any one node whose options match this filter, like '{"role":"worker","load":{"$lt":80}}'
    #[arg(long, value_name = "JSON")]
    pub(crate) filter: Option<String>,

    /// Any one node of this name: short for --filter '{"service":"NAME"}'
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,

    /// Any one node, but no router
    #[arg(long)]
    pub(crate) any: bool,
}

impl Whom {
    /// The call, before anything else is said of it.
    pub(crate) fn call<'a>(&'a self, node: &'a Handle) -> Result<Call<'a>, Failure> {
        match &self.to {
            Some(id) => Ok(node.to(id)),
            None => Ok(node.any(self.selector()?)),
        }
    }

    /// The same as a selector.
    pub(crate) fn selector(&self) -> Result<Selector, Failure> {
        match (&self.to, &self.filter, &self.service) {
            (Some(id), ..) => Ok(Selector::from(id)),
            (_, Some(text), _) => Ok(filter(text)?.into()),
            (_, _, Some(name)) => Ok(service(name).into()),
            (None, None, None) => Ok(Filter::any().into()),
        }
    }
}

/// A filter from JSON.
pub(crate) fn filter(text: &str) -> Result<Filter, Failure> {
    let filter = Filter::from_serde(&data::parse(text)?)?;
    filter.check()?;
    Ok(filter)
}

/// Whoever has this name.
pub(crate) fn service(name: &str) -> Filter {
    Filter::any().eq("service", name)
}

/// Whoever has this id, or, as the option `service`, this name: what a person means by one word. Routers understand it, too.
pub(crate) fn named(word: &str) -> Filter {
    Filter::any().eq("_id", word).or(service(word))
}
