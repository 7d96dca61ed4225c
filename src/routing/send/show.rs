//! A table of nodes as people look at it, in a debugger, and with serde.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::{KnownNode, PathTable};
use crate::node_event::Directions;

/// Below the line of a node.
const MARGIN: &str = "    ";

/// A line for each node, and the tree of its paths below.
impl fmt::Display for PathTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, node) in self.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { "\n" })?;
            node.fmt(f)?;
            if node.paths().is_empty() {
                write!(f, "\n{MARGIN}no paths")?;
                continue;
            }
            for line in node.paths().to_string().lines() {
                write!(f, "\n{MARGIN}{line}")?;
            }
        }
        Ok(())
    }
}

/// Who and where it is, in one line.
impl fmt::Display for KnownNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id())?;
        if let Some(host) = self.host() {
            write!(f, " on {host}")?;
        }
        if let Some(address) = self.address() {
            write!(f, " at {address}")?;
        }
        if self.is_own() {
            return f.write_str(", this node");
        }
        if self.directions() == Directions::BOTH {
            return f.write_str(", up and down");
        }
        write!(f, ", {}", self.directions())
    }
}

impl fmt::Debug for PathTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The list of the nodes, in their order.
impl Serialize for PathTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// `id`, `host`, `address`, `own`, `up`, `down`, `options`, `paths`.
impl Serialize for KnownNode<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("KnownNode", 8)?;
        out.serialize_field("id", self.id().as_str())?;
        out.serialize_field("host", &self.host())?;
        out.serialize_field("address", &self.address().map(ToString::to_string))?;
        out.serialize_field("own", &self.is_own())?;
        out.serialize_field("up", &self.directions().up)?;
        out.serialize_field("down", &self.directions().down)?;
        out.serialize_field("options", self.options())?;
        out.serialize_field("paths", self.paths())?;
        out.end()
    }
}
