//! As much of an HTTP API as a browser needs.

use std::collections::BTreeMap;

use lambda_boot::Handler;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{event, invoke};

/// Serves the function; `/bare` is the dashboard without its policy, for pages that look into it, and the other `pages` are the test's own.
pub(super) struct Front {
    pub(super) address: String,
    _connections: JoinSet<()>,
}

impl Front {
    pub(super) async fn start(handler: Handler, pages: BTreeMap<&'static str, String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let (mut open, pages) = (JoinSet::new(), std::sync::Arc::new(pages));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (handler, pages) = (handler.clone(), std::sync::Arc::clone(&pages));
                open.spawn(async move { serve(stream, &handler, &pages).await });
            }
        });
        Self { address, _connections: connections }
    }
}

async fn serve(mut stream: TcpStream, handler: &Handler, pages: &BTreeMap<&'static str, String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // A browser opens connections to spare, and closes them.
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = lines.filter_map(|line| line.split_once(": ")).collect::<BTreeMap<_, _>>();
    let answer = match pages.get(path) {
        Some(page) => json!({"statusCode": 200, "headers": {"content-type": "text/html; charset=utf-8"}, "body": page}),
        None => {
            let path = if path == "/bare" { "/dashboard" } else { path };
            let event = json!({"version": "2.0", "rawPath": path, "rawQueryString": query, "headers": headers,
                "requestContext": {"http": {"method": "GET"}}});
            invoke(handler, &event).await
        }
    };
    let mut text = format!("HTTP/1.1 {} -\r\nconnection: close\r\n", answer["statusCode"]);
    for (name, value) in answer["headers"].as_object().unwrap() {
        if !(path == "/bare" && name == "content-security-policy") {
            text += &format!("{name}: {}\r\n", value.as_str().unwrap());
        }
    }
    text += "\r\n";
    text += answer["body"].as_str().unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// The cells of the table with this caption, row by row without its head, as they are read.
pub(super) fn table(html: &str, caption: &str) -> Vec<Vec<String>> {
    let start = format!("<caption>{caption}</caption>");
    let (_, table) = html.split_once(&start).unwrap_or_else(|| panic!("there is no table {caption:?}"));
    let (body, _) = table.split_once("<tbody>").unwrap().1.split_once("</tbody>").unwrap();
    let rows = body.split("</tr>").filter(|row| row.contains("<td"));
    rows.map(|row| row.replace("</th>", "</td>").split_terminator("</td>").map(read).collect()).collect()
}

/// The heads of the table with this caption.
pub(super) fn heads(html: &str, caption: &str) -> Vec<String> {
    let (_, table) = html.split_once(&format!("<caption>{caption}</caption>")).unwrap();
    let (heads, _) = table.split_once("</thead>").unwrap();
    heads.split_terminator("</th>").map(read).filter(|head| !head.is_empty()).collect()
}

/// Where the links of a page lead, a query without its question mark.
pub(super) fn links(html: &str) -> Vec<String> {
    let links = html.split("<a href=\"").skip(1).map(|link| read(link.split('"').next().unwrap()));
    links.map(|link| link.strip_prefix('?').map_or_else(|| link.clone(), str::to_owned)).collect()
}

/// Markup as it is read.
pub(super) fn read(markup: &str) -> String {
    let mut text = String::new();
    let mut is_tag = false;
    for character in markup.chars() {
        match character {
            '<' => is_tag = true,
            '>' => is_tag = false,
            _ if !is_tag => text.push(character),
            _ => {}
        }
    }
    text.trim()
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#x27;", "'")
        .replace("&#x2f;", "/")
        .replace("&amp;", "&")
}

/// What the function answers to the dashboard's event, with this query and these credentials.
pub(super) async fn get(handler: &Handler, query: &str, authorization: &str) -> Value {
    let mut event = event("page");
    event["rawQueryString"] = query.into();
    event["headers"]["authorization"] = authorization.into();
    invoke(handler, &event).await
}
