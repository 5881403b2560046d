//! A crawler: follows the links of pages on disk, breadth first, each page once.
//!
//! `cargo run --release --example crawler -- README.md --at-once 8 --pages 1000 --timeout 10`
//!
//! Pages are the `.md`, `.html` and `.htm` files in the folder of the first one and below it; links are
//! `[text](other.md)` and `href="other.md"`. Each page is printed with its depth, which is the number of links
//! on the shortest way to it: level by level, sorted within. Without arguments this project's own
//! documentation is crawled.
//!
//! Links that lead nowhere, pages that cannot be read and a crawl that was stopped early are reported
//! on stderr; the exit status is then 1.
//!
//! What to see:
//!
//! * **A goroutine for each page** of a level; there is no pool to feed.
//! * **A semaphore** limits how many of them read at once; the others wait for a permit.
//! * **`fibra::blocking`** reads on another thread, so that a slow disk stops no worker.
//! * **A context** ends it all when the time is over. A read that hangs, on a dead network disk or a named pipe,
//!   cannot be called back; it is left behind, and the program ends without it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::mem;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use fibra::chan::{Sender, bounded};
use fibra::context::Context;
use fibra::sync::Semaphore;
use fibra::{go, select};
use fibra_examples::{finish, project, report, stdout};

/// Print the pages that can be reached from a page, with their depth.
#[derive(Parser)]
#[command(name = "crawler")]
struct Args {
    /// Page to start from [default: this project's README.md]
    page: Option<PathBuf>,
    /// Pages that are read at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=512))]
    at_once: u32,
    /// Pages after which to stop
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pages: u32,
    /// Seconds after which to stop
    #[arg(long, default_value = "10", value_parser = seconds)]
    timeout: Duration,
}

/// What every goroutine of a crawl knows.
#[derive(Clone)]
struct Crawl {
    /// The folder that it does not leave. The paths of pages are relative to it.
    root: Arc<Path>,
    permits: Arc<Semaphore>,
    cx: Context,
}

/// What a page leads to.
struct Page {
    links: Vec<PathBuf>,
    broken: Vec<(PathBuf, io::Error)>,
}

#[fibra::main]
fn main() -> ExitCode {
    let args = Args::parse();
    let start = args.page.unwrap_or_else(|| project().join("README.md"));
    let (Some(folder), Some(name)) = (start.parent(), start.file_name()) else {
        report("crawler", format_args!("{}: not a page", start.display()));
        return ExitCode::FAILURE;
    };
    let (cx, _cancel) = Context::background().with_timeout(args.timeout);
    let crawl = Crawl {
        root: Path::new(".").join(folder).into(),
        permits: Arc::new(Semaphore::new(args.at_once as usize)),
        cx,
    };
    let mut problems = vec![];
    let written = crawl.run(name.into(), args.pages as usize, &mut problems);
    for problem in &problems {
        report("crawler", problem);
    }
    let exit = finish("crawler", written);
    if problems.is_empty() { exit } else { ExitCode::FAILURE }
}

impl Crawl {
    /// Prints at most `most` pages, level by level.
    fn run(&self, start: PathBuf, most: usize, problems: &mut Vec<String>) -> io::Result<()> {
        let mut out = stdout();
        let mut level = BTreeSet::from([start]);
        let mut seen = level.clone();
        let (mut depth, mut left) = (0, most);
        while !level.is_empty() {
            let more = level.len() > left;
            let pages: Vec<_> = mem::take(&mut level).into_iter().take(left).collect();
            left -= pages.len();
            let Some(pages) = self.read_all(pages) else {
                problems.push(format!("stopped at depth {depth}: the time is over"));
                break;
            };
            for (path, page) in pages {
                let name = path.display();
                match page {
                    Ok(Page { links, broken }) => {
                        writeln!(out, "{depth} {name}")?;
                        level.extend(links.into_iter().filter(|link| seen.insert(link.clone())));
                        problems.extend(broken.into_iter().map(|(link, error)| {
                            format!("{name}: link to {}: {error}", link.display())
                        }));
                    }
                    Err(error) => problems.push(format!("{name}: {error}")),
                }
            }
            if more {
                problems.push(format!("stopped at depth {depth}: {most} pages were read"));
                break;
            }
            depth += 1;
        }
        out.flush()
    }

    /// Reads the pages of a level, each in a goroutine of its own. `None`: the time is over.
    fn read_all(&self, pages: Vec<PathBuf>) -> Option<BTreeMap<PathBuf, io::Result<Page>>> {
        let count = pages.len();
        let (done, results) = bounded(count);
        for page in pages {
            go!(self.clone().read(page, done.clone()));
        }
        drop(done);
        let mut pages = BTreeMap::new();
        while pages.len() < count {
            select! {
                recv(results) -> result => {
                    let (path, page) = result.ok()?; // closed: all have given up
                    pages.insert(path, page);
                }
                recv(self.cx.done()) -> _ => return None,
            }
        }
        Some(pages)
    }

    /// Reads a page when it is its turn, unless the time is over by then.
    fn read(self, path: PathBuf, done: Sender<(PathBuf, io::Result<Page>)>) {
        let _permit = self.permits.acquire();
        if self.cx.err().is_none() {
            let page = fibra::blocking(|| Page::read(&self.root, &path));
            let _ = done.send((path, page)); // nobody listens once the time is over
        }
    }
}

impl Page {
    fn read(root: &Path, path: &Path) -> io::Result<Page> {
        let text = fs::read(root.join(path))?;
        let text = String::from_utf8_lossy(&text);
        let mut page = Page { links: vec![], broken: vec![] };
        let targets: BTreeSet<_> = links(&text).filter_map(|link| resolve(path, link)).collect();
        for target in targets {
            match fs::metadata(root.join(&target)) {
                Ok(meta) if is_page(&target) && !meta.is_dir() => page.links.push(target),
                Ok(_) => {} // a folder, a picture, a licence
                Err(error) => page.broken.push((target, error)),
            }
        }
        Ok(page)
    }
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["md", "html", "htm"].iter().any(|e| extension == *e))
}

/// Where `[text](link)` and `href="link"` point to.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let markdown = text.split("](").skip(1).filter_map(|rest| rest.split_once([')', ' ', '\n']));
    let html = text.split("href=\"").skip(1).filter_map(|rest| rest.split_once('"'));
    markdown.chain(html).map(|(link, _rest)| link)
}

/// The path of what `link` on `page` points to; `None` if that is the page itself, or not in the root.
fn resolve(page: &Path, link: &str) -> Option<PathBuf> {
    let path = link.split(['#', '?']).next().filter(|path| !path.is_empty())?;
    if path.split('/').next()?.contains(':') {
        return None; // another scheme, such as https:
    }
    let mut target = page.parent()?.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => target.push(name),
            Component::ParentDir => target.pop().then_some(())?,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(target)
}

/// For clap: a time in seconds that is worth waiting for.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("it must be more than 0".into()),
        Err(error) => Err(error.to_string()),
    }
}
