//! What mail about an invoice says, in each language.

use super::layout::{Content, content};
use crate::features::tenants::Locale;

/// Why there is a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceOccasion {
    /// It was issued.
    Issued,
    /// It could not be collected.
    Failed,
    /// It has been owed for too long.
    Restricted,
}

/// What became of an invoice.
#[derive(Clone, Debug)]
pub struct InvoiceNotice {
    /// Why there is a mail.
    pub occasion: InvoiceOccasion,
    /// The reader's.
    pub name: String,
    /// Such as `INV-000001`.
    pub number: String,
    /// With the currency.
    pub total: String,
    /// What is still owed, with the currency; `None` where nothing is.
    pub owed: Option<String>,
    /// The day on which it is to be paid at the latest.
    pub due: String,
}

impl InvoiceNotice {
    /// In this language.
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
                    "Invoice {number} of {total} was issued. It is to be paid by {due}; where you have left a card, it is charged by itself."
                ),
            ),
            (InvoiceOccasion::Issued, None) => (
                format!("Invoice {number} for {tenant}"),
                format!("Invoice {number} of {total} was issued. Nothing is left to be paid."),
            ),
            (InvoiceOccasion::Failed, _) => (
                format!("Invoice {number} could not be paid"),
                format!(
                    "We could not collect {owed} for invoice {number}. Please check your card; we try again in the next days."
                ),
            ),
            (InvoiceOccasion::Restricted, _) => (
                format!("{tenant} can only be read now"),
                format!(
                    "{owed} of invoice {number} have not been paid for two weeks. Your data can be read and exported, and nothing can be changed until it is paid."
                ),
            ),
        };
        content(subject, format!("Hello {},", self.name), &[&text], None, "You find every invoice under billing.")
    }

    fn german(&self, tenant: &str) -> Content {
        let Self { number, total, due, .. } = self;
        let owed = self.owed.as_deref().unwrap_or(total);
        let (subject, text) = match (self.occasion, &self.owed) {
            (InvoiceOccasion::Issued, Some(_)) => (
                format!("Rechnung {number} für {tenant}"),
                format!(
                    "Die Rechnung {number} über {total} wurde ausgestellt. Sie ist bis {due} zu bezahlen; ist eine Karte hinterlegt, wird sie von selbst belastet."
                ),
            ),
            (InvoiceOccasion::Issued, None) => (
                format!("Rechnung {number} für {tenant}"),
                format!("Die Rechnung {number} über {total} wurde ausgestellt. Es ist nichts mehr zu bezahlen."),
            ),
            (InvoiceOccasion::Failed, _) => (
                format!("Die Rechnung {number} konnte nicht bezahlt werden"),
                format!(
                    "Wir konnten {owed} für die Rechnung {number} nicht einziehen. Bitte prüfen Sie Ihre Karte; wir versuchen es in den nächsten Tagen wieder."
                ),
            ),
            (InvoiceOccasion::Restricted, _) => (
                format!("{tenant} kann nur noch gelesen werden"),
                format!(
                    "{owed} der Rechnung {number} sind seit zwei Wochen nicht bezahlt. Ihre Daten können gelesen und exportiert, bis zur Zahlung aber nicht geändert werden."
                ),
            ),
        };
        let footer = "Alle Rechnungen finden Sie unter der Abrechnung.";
        content(subject, format!("Guten Tag {},", self.name), &[&text], None, footer)
    }

    fn dutch(&self, tenant: &str) -> Content {
        let Self { number, total, due, .. } = self;
        let owed = self.owed.as_deref().unwrap_or(total);
        let (subject, text) = match (self.occasion, &self.owed) {
            (InvoiceOccasion::Issued, Some(_)) => (
                format!("Factuur {number} voor {tenant}"),
                format!(
                    "Factuur {number} van {total} is opgesteld. Betaal die vóór {due}; heeft u een kaart achtergelaten, dan wordt die vanzelf belast."
                ),
            ),
            (InvoiceOccasion::Issued, None) => (
                format!("Factuur {number} voor {tenant}"),
                format!("Factuur {number} van {total} is opgesteld. U hoeft niets meer te betalen."),
            ),
            (InvoiceOccasion::Failed, _) => (
                format!("Factuur {number} kon niet worden betaald"),
                format!(
                    "Wij konden {owed} voor factuur {number} niet innen. Controleer uw kaart; wij proberen het de komende dagen opnieuw."
                ),
            ),
            (InvoiceOccasion::Restricted, _) => (
                format!("{tenant} kan alleen nog worden gelezen"),
                format!(
                    "{owed} van factuur {number} is al twee weken niet betaald. Uw gegevens kunnen worden gelezen en geëxporteerd, maar tot de betaling niet gewijzigd."
                ),
            ),
        };
        content(subject, format!("Hallo {},", self.name), &[&text], None, "U vindt elke factuur onder facturering.")
    }
}
