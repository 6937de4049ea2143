//! The demo guest: renders Markdown that nobody vouches for to HTML that a page may show.
//!
//! Made of ordinary crates: pulldown-cmark parses, ammonia keeps only harmless HTML. The host decides
//! where links lead, through `resolve_link`.
//!
//! ```text
//! source -> snippets.rs -> pulldown-cmark -> links (host) -> ammonia -> RenderedDocument
//! ```

mod document;
mod snippets;

use ampoule_guest::{Error, HostError, guest_function, host_function};
use document::{RenderOptions, RenderedDocument};

/// Largest source in bytes.
const SOURCE_LIMIT: usize = 2 << 20;

/// Says where a link of a document leads: an address, or nothing to remove the link and keep its
/// text. Called once for every link and image, with the address as it stands in the document.
#[host_function]
fn resolve_link(href: String) -> Result<Option<String>, HostError>;

/// Renders Markdown (CommonMark with tables, footnotes, strike-through and task lists) to HTML.
///
/// Scripts, styles, event handlers and unknown elements are removed. A document of more than 2 MiB
/// is the error `SourceTooLarge`.
///
/// Documents may define snippets, and that part has a bug on purpose, for the demonstration: see
/// `snippets.rs`.
#[guest_function]
fn render(source: String, options: Option<RenderOptions>) -> Result<RenderedDocument, Error> {
    if source.len() > SOURCE_LIMIT {
        let message = format!("a document of {} bytes, the limit is {SOURCE_LIMIT}", source.len());
        return Err(Error::new("SourceTooLarge", message)
            .with_data(&document::TooLarge { size: source.len(), limit: SOURCE_LIMIT }));
    }
    let source = snippets::expand(&source);
    let document = document::render(&source, &options.unwrap_or_default(), resolve_link)?;
    Ok(document)
}

ampoule_guest::main!();
