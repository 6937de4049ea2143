//! From Markdown to a document that is safe to show.

use ammonia::Builder;
use pulldown_cmark::{CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// How to render.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct RenderOptions {
    /// Turns straight quotes and dashes into typographic ones.
    pub(crate) smart_punctuation: bool,
    /// Turns line breaks in the source into line breaks on the page.
    pub(crate) hard_breaks: bool,
    /// Levels to add to every heading, so that a document fits below a page's own headings.
    #[schemars(range(max = 5))]
    pub(crate) heading_offset: u8,
}

/// A rendered document.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct RenderedDocument {
    /// The text of the first heading of the highest level.
    title: Option<String>,
    /// Harmless HTML.
    html: String,
    /// All headings in order.
    headings: Vec<Heading>,
    /// All links in order, as the host resolved them.
    links: Vec<Link>,
    /// Words of text.
    words: u32,
}

/// A heading.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
struct Heading {
    /// 1 to 6.
    level: u8,
    /// Its text without markup.
    text: String,
    /// The `id` of its element.
    id: String,
}

/// A link or an image.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
struct Link {
    /// The address in the source.
    href: String,
    /// What the host made of it.
    resolved: Option<String>,
}

/// Data of the error `SourceTooLarge`.
#[derive(Debug, Serialize)]
pub(crate) struct TooLarge {
    pub(crate) size: usize,
    pub(crate) limit: usize,
}

/// Renders `source`; `resolve` says where a link leads.
pub(crate) fn render<E>(
    source: &str,
    options: &RenderOptions,
    mut resolve: impl FnMut(String) -> Result<Option<String>, E>,
) -> Result<RenderedDocument, E> {
    let mut events = parse(source, options);
    let headings = mark_headings(&mut events, options.heading_offset);
    let links = resolve_links(&mut events, &mut resolve)?;
    let words = events.iter().map(count_words).sum();

    let mut unsafe_html = String::with_capacity(source.len() * 3 / 2);
    html::push_html(&mut unsafe_html, events.into_iter());
    let title =
        headings.iter().min_by_key(|heading| heading.level).map(|heading| heading.text.clone());
    Ok(RenderedDocument { title, html: sanitise(&unsafe_html), headings, links, words })
}

#[tracing::instrument(skip_all, fields(bytes = source.len()))]
fn parse<'a>(source: &'a str, options: &RenderOptions) -> Vec<Event<'a>> {
    let mut extensions = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS;
    extensions.set(Options::ENABLE_SMART_PUNCTUATION, options.smart_punctuation);
    Parser::new_ext(source, extensions)
        .map(|event| match event {
            Event::SoftBreak if options.hard_breaks => Event::HardBreak,
            event => event,
        })
        .collect()
}

/// Gives every heading an id and its new level.
fn mark_headings(events: &mut [Event<'_>], offset: u8) -> Vec<Heading> {
    let mut headings = Vec::new();
    let mut used = HashMap::new();
    for index in 0..events.len() {
        let Event::Start(Tag::Heading { level, .. }) = events[index] else { continue };
        let length = events[index..]
            .iter()
            .position(|event| matches!(event, Event::End(TagEnd::Heading(_))))
            .unwrap_or(0);
        let text: String = events[index..index + length]
            .iter()
            .filter_map(|event| match event {
                Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
                Event::SoftBreak | Event::HardBreak => Some(" "),
                _ => None,
            })
            .collect();
        let new_level = shifted(level, offset);
        let heading_id = unique_id(&text, &mut used);
        if let Event::Start(Tag::Heading { level, id, .. }) = &mut events[index] {
            *level = new_level;
            *id = Some(CowStr::from(heading_id.clone()));
        }
        if let Some(Event::End(TagEnd::Heading(level))) = events.get_mut(index + length) {
            *level = new_level;
        }
        headings.push(Heading { level: new_level as u8, text, id: heading_id });
    }
    headings
}

fn shifted(level: HeadingLevel, offset: u8) -> HeadingLevel {
    let number = (level as usize).saturating_add(usize::from(offset)).min(6);
    HeadingLevel::try_from(number).unwrap_or(HeadingLevel::H6)
}

/// An id as GitHub makes it: lower case, words joined by hyphens, numbered when it is there already.
fn unique_id(text: &str, used: &mut HashMap<String, u32>) -> String {
    let slug: String = text
        .to_lowercase()
        .chars()
        .filter_map(|character| match character {
            ' ' | '-' => Some('-'),
            '_' => Some('_'),
            other => other.is_alphanumeric().then_some(other),
        })
        .collect();
    match used.get_mut(&slug) {
        Some(count) => {
            *count += 1;
            format!("{slug}-{count}")
        }
        None => {
            used.insert(slug.clone(), 0);
            slug
        }
    }
}

/// Asks about every link and image. One that leads nowhere loses its element and keeps its text.
#[tracing::instrument(skip_all)]
fn resolve_links<E>(
    events: &mut Vec<Event<'_>>,
    resolve: &mut impl FnMut(String) -> Result<Option<String>, E>,
) -> Result<Vec<Link>, E> {
    let mut links = Vec::new();
    // For each open link or image, whether it stays.
    let mut open = Vec::new();
    let mut failure = None;
    events.retain_mut(|event| match event {
        Event::Start(
            Tag::Link { dest_url, link_type, .. } | Tag::Image { dest_url, link_type, .. },
        ) => {
            let href = match link_type {
                LinkType::Email => format!("mailto:{dest_url}"),
                _ => dest_url.to_string(),
            };
            let resolved = match &failure {
                Some(_) => None,
                None => resolve(href.clone()).unwrap_or_else(|error| {
                    failure = Some(error);
                    None
                }),
            };
            if let Some(address) = &resolved {
                *dest_url = CowStr::from(address.clone());
                if *link_type == LinkType::Email {
                    *link_type = LinkType::Autolink;
                }
            }
            open.push(resolved.is_some());
            links.push(Link { href, resolved });
            open.last() == Some(&true)
        }
        Event::End(TagEnd::Link | TagEnd::Image) => open.pop().unwrap_or(true),
        _ => true,
    });
    failure.map_or(Ok(links), Err)
}

fn count_words(event: &Event<'_>) -> u32 {
    match event {
        Event::Text(text) | Event::Code(text) => {
            u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX)
        }
        _ => 0,
    }
}

/// Keeps what a document may contain. Addresses are the host's business; those of dangerous schemes
/// go even if the host gave them.
#[tracing::instrument(skip_all, fields(bytes = html.len()))]
fn sanitise(html: &str) -> String {
    Builder::default()
        .add_tag_attributes("h1", ["id"])
        .add_tag_attributes("h2", ["id"])
        .add_tag_attributes("h3", ["id"])
        .add_tag_attributes("h4", ["id"])
        .add_tag_attributes("h5", ["id"])
        .add_tag_attributes("h6", ["id"])
        .add_tag_attributes("div", ["id", "class"])
        .add_tag_attributes("sup", ["class"])
        .add_tag_attributes("code", ["class"])
        .add_tags(["input"])
        .add_tag_attributes("input", ["type", "checked", "disabled"])
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .clean(html)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn rendered(source: &str) -> RenderedDocument {
        let resolve = |href: String| match href.as_str() {
            "gone" => Ok::<_, Infallible>(None),
            _ => Ok(Some(format!("https://example.org/{href}"))),
        };
        render(source, &RenderOptions::default(), resolve).unwrap_or_else(|error| match error {})
    }

    #[test]
    fn headings_and_links_are_found() {
        let document = rendered("# One `two`\n\n[a](b) [c](gone)\n\n## One two\n");
        assert_eq!(document.title.as_deref(), Some("One two"));
        let ids: Vec<_> = document.headings.iter().map(|heading| heading.id.as_str()).collect();
        assert_eq!(ids, ["one-two", "one-two-1"]);
        assert_eq!(document.links[1], Link { href: "gone".to_owned(), resolved: None });
        assert!(document.html.contains("<a href=\"https://example.org/b\" rel="));
        assert!(document.html.contains("</a> c</p>"), "{}", document.html);
        assert_eq!(document.words, 6);
    }

    #[test]
    fn what_is_dangerous_goes() {
        let document = rendered("<script>alert(1)</script>\n\n<b onclick=x>bold</b> <iframe>");
        assert!(!document.html.contains("script"), "{}", document.html);
        assert!(document.html.contains("<b>bold</b>"), "{}", document.html);
        assert!(!document.html.contains("iframe"));
    }

    #[test]
    fn a_failing_resolver_fails_the_rendering() {
        let result = render("[a](b) [c](d)", &RenderOptions::default(), Err);
        assert_eq!(result.map(|document| document.html), Err("b".to_owned()));
    }

    #[test]
    fn tables_footnotes_and_tasks_survive_the_sanitiser() {
        let document = rendered("|a|\n|-|\n|b|\n\n- [x] done\n\ntext[^1]\n\n[^1]: note\n");
        for part in ["<table>", "<th>a</th>", "type=\"checkbox\"", "id=\"1\""] {
            assert!(document.html.contains(part), "{part} in {}", document.html);
        }
    }
}
