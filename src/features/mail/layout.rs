//! The layout of every mail: one HTML page, and the same content in plain text.

use askama::Template;

/// The content of a mail.
pub struct Content {
    pub subject: String,
    pub greeting: String,
    pub paragraphs: Vec<String>,
    /// The label and the URL.
    pub button: Option<(String, String)>,
    /// The footer, in small type.
    pub footer: String,
}

/// The HTML part. It uses a table and inline styles, which mail programs of the last fifteen years show.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<!doctype html>
<html lang="{{ lang }}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{ content.subject }}</title></head>
<body style="margin:0;background:#f3f4f6;font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;color:#111827">
<table role="presentation" width="100%" cellspacing="0" cellpadding="0"><tr><td align="center" style="padding:32px 16px">
<table role="presentation" width="100%" cellspacing="0" cellpadding="0" style="max-width:560px;background:#ffffff;border-radius:8px">
<tr><td style="padding:20px 32px;background:{{ color }};border-radius:8px 8px 0 0;color:#ffffff;font-size:18px;font-weight:600">
{%- if let Some(logo) = logo_url %}<img src="{{ logo }}" alt="{{ tenant_name }}" height="40" style="border:0;max-height:40px">
{%- else %}{{ tenant_name }}{% endif -%}
</td></tr>
<tr><td style="padding:24px 32px;font-size:16px;line-height:1.5">
<p style="margin:0 0 16px">{{ content.greeting }}</p>
{% for paragraph in content.paragraphs -%}
<p style="margin:0 0 16px">{{ paragraph }}</p>
{% endfor -%}
{%- if let Some((label, url)) = content.button -%}
<p style="margin:24px 0"><a href="{{ url }}" style="display:inline-block;padding:12px 24px;background:{{ accent }};color:#ffffff;text-decoration:none;border-radius:6px;font-weight:600">{{ label }}</a></p>
<p style="margin:0 0 16px;font-size:13px;color:#6b7280;word-break:break-all">{{ url }}</p>
{% endif -%}
</td></tr>
<tr><td style="padding:16px 32px;border-top:1px solid #e5e7eb;font-size:13px;color:#6b7280">{{ content.footer }}
{%- for line in contact %}<br>{{ line }}{% endfor -%}
{%- if let Some((label, url)) = unsubscribe %}<br><a href="{{ url }}" style="color:#6b7280">{{ label }}</a>{% endif -%}
</td></tr>
</table>
</td></tr></table>
</body>
</html>
"##
)]
pub(super) struct Html<'a> {
    pub lang: &'a str,
    pub tenant_name: &'a str,
    pub logo_url: Option<&'a str>,
    pub color: &'a str,
    pub accent: &'a str,
    pub content: &'a Content,
    pub contact: &'a [&'a str],
    /// The label and the URL.
    pub unsubscribe: Option<(&'a str, &'a str)>,
}

/// The plain-text part.
#[derive(Template)]
#[template(
    ext = "txt",
    source = r"{{ content.greeting }}
{% for paragraph in content.paragraphs %}
{{ paragraph }}
{% endfor -%}
{% if let Some((label, url)) = content.button %}
{{ label }}:
{{ url }}
{% endif %}
--
{{ tenant_name }}
{% for line in contact -%}
{{ line }}
{% endfor -%}
{{ content.footer }}
{% if let Some((label, url)) = unsubscribe -%}
{{ label }}: {{ url }}
{% endif -%}
"
)]
pub(super) struct Text<'a> {
    pub tenant_name: &'a str,
    pub content: &'a Content,
    pub contact: &'a [&'a str],
    /// The label and the URL.
    pub unsubscribe: Option<(&'a str, &'a str)>,
}

/// Assembles the content of a mail.
pub(super) fn content(
    subject: String,
    greeting: String,
    paragraphs: &[&str],
    button: Option<(&str, &str)>,
    footer: &str,
) -> Content {
    Content {
        subject,
        greeting,
        paragraphs: paragraphs.iter().map(|it| (*it).to_owned()).collect(),
        button: button.map(|(label, url)| (label.to_owned(), url.to_owned())),
        footer: footer.to_owned(),
    }
}
