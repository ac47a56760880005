//! The texts of invoice mails, in each language.

use super::layout::{Content, content};
use crate::features::tenants::Locale;

/// Why the mail is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceOccasion {
    /// The invoice was issued.
    Issued,
    /// The invoice could not be collected.
    Failed,
    /// The invoice was unpaid for too long.
    Restricted,
}

/// What an invoice mail says.
#[derive(Clone, Debug)]
pub struct InvoiceNotice {
    /// Why the mail is sent.
    pub occasion: InvoiceOccasion,
    /// The recipient's name.
    pub name: String,
    /// The invoice number, such as `INV-000001`.
    pub number: String,
    /// The total, with the currency.
    pub total: String,
    /// The amount still owed, with the currency; `None` where nothing is owed.
    pub owed: Option<String>,
    /// The day by which the invoice must be paid.
    pub due: String,
}

impl InvoiceNotice {
    /// Renders the mail in a language.
    pub fn content(&self, locale: Locale, tenant: &str) -> Content {
        match locale {
            Locale::En => self.english(tenant),
            Locale::De => self.german(tenant),
            Locale::Nl => self.dutch(tenant),
        }
    }

    fn english(&self, tenant: &str) -> Content {
        let Self { number, total, due, .. } = self;
        let owed = self.owed.as_deref().unwrap_or(total);
        let (subject, text) = match (self.occasion, &self.owed) {
            (InvoiceOccasion::Issued, Some(_)) => (
                format!("Invoice {number} for {tenant}"),
                format!(
                    "Invoice {number} for {total} has been issued. Payment is due by {due}. If you have a saved card, it will be charged automatically."
                ),
            ),
            (InvoiceOccasion::Issued, None) => (
                format!("Invoice {number} for {tenant}"),
                format!("Invoice {number} for {total} has been issued. There is nothing left to pay."),
            ),
            (InvoiceOccasion::Failed, _) => (
                format!("Invoice {number} could not be paid"),
                format!(
                    "We could not collect {owed} for invoice {number}. Please check your card. We will try again over the next few days."
                ),
            ),
            (InvoiceOccasion::Restricted, _) => (
                format!("{tenant} is now read-only"),
                format!(
                    "Invoice {number} has not been paid for two weeks; {owed} is outstanding. Until it is paid, you can view and export your data but you cannot make changes."
                ),
            ),
        };
        content(
            subject,
            format!("Hello {},", self.name),
            &[&text],
            None,
            "You can find all your invoices under Billing.",
        )
    }

    fn german(&self, tenant: &str) -> Content {
        let Self { number, total, due, .. } = self;
        let owed = self.owed.as_deref().unwrap_or(total);
        let (subject, text) = match (self.occasion, &self.owed) {
            (InvoiceOccasion::Issued, Some(_)) => (
                format!("Rechnung {number} für {tenant}"),
                format!(
                    "Die Rechnung {number} über {total} wurde ausgestellt. Zahlbar bis {due}. Wenn Sie eine Karte hinterlegt haben, wird sie automatisch belastet."
                ),
            ),
            (InvoiceOccasion::Issued, None) => (
                format!("Rechnung {number} für {tenant}"),
                format!("Die Rechnung {number} über {total} wurde ausgestellt. Es ist nichts mehr zu zahlen."),
            ),
            (InvoiceOccasion::Failed, _) => (
                format!("Die Rechnung {number} konnte nicht bezahlt werden"),
                format!(
                    "Wir konnten {owed} für die Rechnung {number} nicht einziehen. Bitte prüfen Sie Ihre Karte. Wir versuchen es in den nächsten Tagen erneut."
                ),
            ),
            (InvoiceOccasion::Restricted, _) => (
                format!("{tenant} ist jetzt schreibgeschützt"),
                format!(
                    "Die Rechnung {number} ist seit zwei Wochen unbezahlt; offen sind {owed}. Bis zur Zahlung können Sie Ihre Daten ansehen und exportieren, aber nichts ändern."
                ),
            ),
        };
        let footer = "Alle Ihre Rechnungen finden Sie unter „Abrechnung“.";
        content(subject, format!("Guten Tag {},", self.name), &[&text], None, footer)
    }

    fn dutch(&self, tenant: &str) -> Content {
        let Self { number, total, due, .. } = self;
        let owed = self.owed.as_deref().unwrap_or(total);
        let (subject, text) = match (self.occasion, &self.owed) {
            (InvoiceOccasion::Issued, Some(_)) => (
                format!("Factuur {number} voor {tenant}"),
                format!(
                    "Factuur {number} van {total} is opgemaakt. Betaal uiterlijk {due}. Als u een kaart hebt opgeslagen, wordt het bedrag automatisch afgeschreven."
                ),
            ),
            (InvoiceOccasion::Issued, None) => (
                format!("Factuur {number} voor {tenant}"),
                format!("Factuur {number} van {total} is opgemaakt. U hoeft niets meer te betalen."),
            ),
            (InvoiceOccasion::Failed, _) => (
                format!("Factuur {number} kon niet worden betaald"),
                format!(
                    "We konden {owed} voor factuur {number} niet innen. Controleer uw kaart. We proberen het de komende dagen opnieuw."
                ),
            ),
            (InvoiceOccasion::Restricted, _) => (
                format!("{tenant} is nu alleen-lezen"),
                format!(
                    "Factuur {number} is al twee weken niet betaald; er staat nog {owed} open. Tot de betaling kunt u uw gegevens bekijken en exporteren, maar niets wijzigen."
                ),
            ),
        };
        content(subject, format!("Hallo {},", self.name), &[&text], None, "U vindt al uw facturen onder Facturering.")
    }
}
