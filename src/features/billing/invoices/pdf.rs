//! Renders an invoice as a PDF in the tenant's colours, with the crate krilla and embedded DejaVu fonts.

use jiff::{Timestamp, tz::TimeZone};
use krilla::{
    Document,
    color::rgb,
    geom::{PathBuilder, Point, Rect, Size, Transform},
    image::Image,
    metadata::Metadata,
    num::NormalizedF32,
    page::PageSettings,
    paint::Fill,
    surface::Surface,
    text::{Font, TextDirection},
};
use rust_decimal::Decimal;

use super::{CreditNote, Invoice, Kind, Line, State};
use crate::{base::money::Money, features::tenants::Branding};

/// A4, in points (1/72 inch).
const PAGE: (f32, f32) = (595.28, 841.89);
const MARGIN: f32 = 56.0;
/// Right edges of the amount columns.
const COLUMNS: [f32; 3] = [370.0, 455.0, PAGE.0 - MARGIN];
/// The lowest position of a line on a page.
const BOTTOM: f32 = PAGE.1 - 110.0;
/// Maximum length of a name in its column, in characters.
const NAME: usize = 48;
/// The colour of a tenant that has chosen none.
const DEFAULT_COLOR: &str = "#1f2937";

/// Maximum size of a logo, in bytes.
pub const MAX_LOGO: usize = 512 * 1024;
/// Maximum width and height of a logo in pixels, because decoding takes memory.
const MAX_PIXELS: u32 = 2_000;
/// Maximum printed height and width of a logo, in points.
const LOGO: (f32, f32) = (36.0, 220.0);

/// The content of the file.
#[derive(Clone, Copy, Debug)]
pub struct Sheet<'a> {
    /// The invoice.
    pub invoice: &'a Invoice,
    /// Its lines.
    pub lines: &'a [Line],
    /// The credit notes for the invoice.
    pub credit_notes: &'a [CreditNote],
    /// The issuer: a name and address lines.
    pub issuer: &'a str,
    /// The tenant's colours.
    pub branding: &'a Branding,
    /// The logo, a PNG or JPEG image. Without a readable logo the name is printed.
    pub logo: Option<&'a [u8]>,
    /// The time zone of the printed days.
    pub zone: &'a TimeZone,
}

/// Why the file could not be rendered: an internal error, or a broken font.
#[derive(Debug, thiserror::Error)]
#[error("an invoice could not be rendered as PDF: {0}")]
pub struct PdfError(String);

struct Face {
    font: Font,
    metrics: ttf_parser::Face<'static>,
}

impl Face {
    fn try_new(bytes: &'static [u8]) -> Result<Self, PdfError> {
        let broken = || PdfError("the font cannot be read".into());
        let font = Font::new(bytes.into(), 0).ok_or_else(broken)?;
        Ok(Self { font, metrics: ttf_parser::Face::parse(bytes, 0).map_err(|_| broken())? })
    }

    fn width(&self, text: &str, size: f32) -> f32 {
        let advance = |it: char| self.metrics.glyph_index(it).and_then(|it| self.metrics.glyph_hor_advance(it));
        let units: u32 = text.chars().filter_map(advance).map(u32::from).sum();
        units as f32 * size / f32::from(self.metrics.units_per_em())
    }
}

/// What is drawn, in reading order.
enum Mark {
    Text { at: (f32, f32), size: f32, text: String, bold: bool, color: rgb::Color, right: bool },
    Bar { at: (f32, f32), size: (f32, f32), color: rgb::Color },
    Picture { at: (f32, f32), size: (f32, f32), image: Image },
}

struct Sketch {
    pages: Vec<Vec<Mark>>,
    y: f32,
}

const INK: (u8, u8, u8) = (31, 41, 55);
const PALE: (u8, u8, u8) = (107, 114, 128);

fn color((red, green, blue): (u8, u8, u8)) -> rgb::Color {
    rgb::Color::new(red, green, blue)
}

/// Parses `#rrggbb`, which the settings have validated.
fn brand(text: Option<&str>, default: rgb::Color) -> rgb::Color {
    let part = |at: usize| text.and_then(|it| u8::from_str_radix(it.get(at..at + 2)?, 16).ok());
    match (part(1), part(3), part(5)) {
        (Some(red), Some(green), Some(blue)) => rgb::Color::new(red, green, blue),
        _ => default,
    }
}

impl Sketch {
    fn page(&mut self) -> &mut Vec<Mark> {
        if self.pages.is_empty() {
            self.pages.push(Vec::new());
        }
        let last = self.pages.len() - 1;
        &mut self.pages[last]
    }

    fn text(&mut self, x: f32, size: f32, text: impl Into<String>) {
        self.put(x, size, text, false, color(INK), false);
    }

    fn right(&mut self, x: f32, size: f32, text: impl Into<String>) {
        self.put(x, size, text, false, color(INK), true);
    }

    fn put(&mut self, x: f32, size: f32, text: impl Into<String>, bold: bool, color: rgb::Color, right: bool) {
        let at = (x, self.y);
        // Removes control characters, which a name may contain.
        let text: String = text.into().chars().filter(|it| !it.is_control()).collect();
        self.page().push(Mark::Text { at, size, text, bold, color, right });
    }

    fn bar(&mut self, size: (f32, f32), x: f32, color: rgb::Color) {
        let at = (x, self.y);
        self.page().push(Mark::Bar { at, size, color });
    }

    /// Moves down, and to a new page when this one is full.
    fn step(&mut self, by: f32) {
        self.y += by;
        if self.y > BOTTOM {
            self.pages.push(Vec::new());
            self.y = MARGIN + 20.0;
        }
    }
}

/// Renders the file.
///
/// # Errors
/// [`PdfError`] for an internal error.
pub fn write(sheet: &Sheet<'_>) -> Result<Vec<u8>, PdfError> {
    let (regular, bold) = (Face::try_new(dejavu::sans::regular())?, Face::try_new(dejavu::sans::bold())?);
    let mut document = Document::new();
    let title = format!("Invoice {}", sheet.invoice.display_number());
    document.set_metadata(Metadata::new().title(title).creator("Tenantry".into()));
    let pages = sketch(sheet).pages;
    let count = pages.len();
    for (number, marks) in (1..).zip(pages) {
        let settings = PageSettings::from_wh(PAGE.0, PAGE.1).ok_or_else(|| PdfError("no page".into()))?;
        let mut page = document.start_page_with(settings);
        let mut surface = page.surface();
        let foot = Mark::Text {
            at: (PAGE.0 - MARGIN, PAGE.1 - 40.0),
            size: 8.0,
            text: format!("{} · {number}/{count}", sheet.invoice.display_number()),
            bold: false,
            color: color(PALE),
            right: true,
        };
        for mark in marks.into_iter().chain([foot]) {
            draw(&mut surface, &mark, &regular, &bold);
        }
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|error| PdfError(format!("{error:?}")))
}

fn draw(surface: &mut Surface<'_>, mark: &Mark, regular: &Face, bold_face: &Face) {
    let fill = |color: rgb::Color| Fill { paint: color.into(), opacity: NormalizedF32::ONE, ..Fill::default() };
    match mark {
        Mark::Text { at, size, text, bold, color, right } => {
            let face = if *bold { bold_face } else { regular };
            let x = if *right { at.0 - face.width(text, *size) } else { at.0 };
            surface.set_fill(Some(fill(*color)));
            surface.draw_text(Point::from_xy(x, at.1), face.font.clone(), *size, text, false, TextDirection::Auto);
        }
        Mark::Picture { at, size, image } => {
            if let Some(size) = Size::from_wh(size.0, size.1) {
                surface.push_transform(&Transform::from_translate(at.0, at.1));
                surface.draw_image(image.clone(), size);
                surface.pop();
            }
        }
        Mark::Bar { at, size, color } => {
            let mut path = PathBuilder::new();
            if let Some(rect) = Rect::from_xywh(at.0, at.1, size.0, size.1) {
                path.push_rect(rect);
            }
            if let Some(path) = path.finish() {
                surface.set_fill(Some(fill(*color)));
                surface.draw_path(&path);
            }
        }
    }
}

fn sketch(sheet: &Sheet<'_>) -> Sketch {
    let Sheet { invoice, lines, credit_notes, issuer, branding, logo, zone } = *sheet;
    let default = brand(Some(DEFAULT_COLOR), color(INK));
    let primary = brand(branding.primary_color.as_deref(), default);
    let accent = brand(branding.accent_color.as_deref(), primary);
    let day = |at: Timestamp| at.to_zoned(zone.clone()).date().to_string();
    let amount = |minor: i64| Money { minor, currency: invoice.currency }.amount().to_string();
    let mut to = Sketch { pages: Vec::new(), y: 0.0 };
    to.bar((PAGE.0, 10.0), 0.0, primary);
    to.y = 64.0;
    match logo.and_then(picture) {
        Some((image, size)) => {
            let at = (MARGIN, to.y - 24.0);
            to.page().push(Mark::Picture { at, size, image });
        }
        None => to.put(MARGIN, 20.0, short(&invoice.recipient.name, 30), true, primary, false),
    }
    to.put(PAGE.0 - MARGIN, 20.0, "Invoice", true, color(INK), true);
    to.y = 82.0;
    to.right(PAGE.0 - MARGIN, 10.0, invoice.display_number());
    to.y = 108.0;
    to.bar((PAGE.0 - 2.0 * MARGIN, 1.5), MARGIN, accent);

    to.y = 132.0;
    to.put(MARGIN, 8.0, "FROM", true, color(PALE), false);
    to.put(COLUMNS[0] - 70.0, 8.0, "TO", true, color(PALE), false);
    let tax_id = invoice.recipient.tax_id.as_ref().map(|it| format!("Tax ID {it}"));
    let address = invoice.recipient.address.iter().flat_map(|it| it.lines().map(str::to_owned));
    let recipient: Vec<String> = [invoice.recipient.name.clone()].into_iter().chain(address).chain(tax_id).collect();
    let from: Vec<&str> = issuer.lines().collect();
    for row in 0..from.len().max(recipient.len()).min(8) {
        to.y += 14.0;
        if let Some(text) = from.get(row) {
            to.text(MARGIN, 9.5, short(text, 40));
        }
        if let Some(text) = recipient.get(row) {
            to.text(COLUMNS[0] - 70.0, 9.5, short(text, 40));
        }
    }

    to.y += 30.0;
    let facts = [("Issued", invoice.issued_at), ("Due by", invoice.due_at)];
    for (name, at) in facts {
        if let Some(at) = at {
            to.put(MARGIN, 9.0, name, false, color(PALE), false);
            to.text(MARGIN + 90.0, 9.0, day(at));
            to.y += 14.0;
        }
    }
    let standing = match invoice.state {
        State::Paid => Some("Paid"),
        State::Void => Some("Void: no payment due"),
        State::Draft | State::Open | State::Uncollectible => None,
    };
    if let Some(standing) = standing {
        to.put(MARGIN, 9.0, standing, true, accent, false);
        to.y += 14.0;
    }

    to.y += 18.0;
    to.put(MARGIN, 8.0, "DESCRIPTION", true, color(PALE), false);
    to.put(COLUMNS[0], 8.0, "QUANTITY", true, color(PALE), true);
    to.put(COLUMNS[1], 8.0, "NET", true, color(PALE), true);
    to.put(COLUMNS[2], 8.0, invoice.tax.name.to_uppercase(), true, color(PALE), true);
    to.y += 6.0;
    to.bar((PAGE.0 - 2.0 * MARGIN, 0.75), MARGIN, color(PALE));
    for line in lines {
        to.step(18.0);
        to.text(MARGIN, 9.5, short(&line.name, NAME));
        if let Some(quantity) = line.quantity {
            to.right(COLUMNS[0], 9.5, quantity.to_string());
        }
        to.right(COLUMNS[1], 9.5, amount(line.net_minor));
        to.right(COLUMNS[2], 9.5, amount(line.tax_minor));
        if let Some(covers) = line.covers {
            to.step(12.0);
            let what = match line.kind {
                Kind::Flat => "",
                Kind::Credit => "unused, ",
                Kind::Usage => "used, ",
                Kind::Balance => "",
            };
            let told = format!("{what}{} to {}", day(covers.start), day(covers.end));
            to.put(MARGIN, 8.0, told, false, color(PALE), false);
        }
    }
    to.step(14.0);
    to.bar((PAGE.0 - 2.0 * MARGIN, 0.75), MARGIN, color(PALE));

    let rate = Decimal::new(i64::from(invoice.tax.rate_ppm), 4).normalize();
    let carried = invoice.total_minor - invoice.net_minor - invoice.tax_minor;
    let mut sums =
        vec![("Net".to_owned(), invoice.net_minor), (format!("{} {rate} %", invoice.tax.name), invoice.tax_minor)];
    if carried != 0 {
        sums.push(("Credit".to_owned(), carried));
    }
    for (name, minor) in sums {
        to.step(18.0);
        to.right(COLUMNS[1], 9.5, name);
        to.right(COLUMNS[2], 9.5, amount(minor));
    }
    to.step(22.0);
    to.put(COLUMNS[1], 11.0, format!("Total {}", invoice.currency), true, primary, true);
    to.put(COLUMNS[2], 11.0, amount(invoice.total_minor), true, primary, true);
    for note in credit_notes {
        to.step(18.0);
        to.right(COLUMNS[1], 9.0, format!("Credit note CRN-{:06} of {}", note.number, day(note.issued_at)));
        to.right(COLUMNS[2], 9.0, amount(-note.amount_minor));
    }
    if invoice.state == State::Open && invoice.owed_minor() != invoice.total_minor {
        to.step(20.0);
        to.put(COLUMNS[1], 10.0, "Amount due", true, color(INK), true);
        to.put(COLUMNS[2], 10.0, amount(invoice.owed_minor()), true, color(INK), true);
    }
    to
}

/// Decodes an image and computes its size on the page.
fn picture(bytes: &[u8]) -> Option<(Image, (f32, f32))> {
    let data = krilla::Data::from(bytes.to_vec());
    let image = Image::from_png(data.clone(), true).or_else(|_| Image::from_jpeg(data, true)).ok()?;
    let (width, height) = image.size();
    if width == 0 || height == 0 || width > MAX_PIXELS || height > MAX_PIXELS {
        return None;
    }
    let (width, height) = (width as f32, height as f32);
    let scale = (LOGO.0 / height).min(LOGO.1 / width);
    Some((image, (width * scale, height * scale)))
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
