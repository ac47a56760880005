//! Exact amounts of money: whole minor units (cents) of an ISO 4217 currency.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;

/// An ISO 4217 currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(iso_currency::Currency::EUR);

    /// How many decimals an amount has: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn decimals(self) -> u32 {
        u32::from(self.0.exponent().unwrap_or(0))
    }

    /// The three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl FromStr for Currency {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // Upper case only: `eur` is a mistake, and the database compares codes as text.
        iso_currency::Currency::from_code(text).filter(|it| it.code() == text).map(Self).ok_or(())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An exact amount of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// In minor units, such as cents.
    pub minor: i64,
    /// The currency of the amount.
    pub currency: Currency,
}

/// Why a decimal number is not an amount of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidAmount {
    /// More decimals than the currency has.
    TooPrecise,
    /// More than the largest amount: about 92 quadrillion units with two decimals.
    TooLarge,
}

impl Money {
    /// The amount with as many decimals as the currency has.
    pub fn amount(self) -> Decimal {
        Decimal::new(self.minor, self.currency.decimals())
    }

    /// Parses a decimal amount; trailing zeros do not count as precision.
    pub fn from_amount(amount: Decimal, currency: Currency) -> Result<Self, InvalidAmount> {
        let mut exact = amount.normalize();
        if exact.scale() > currency.decimals() {
            return Err(InvalidAmount::TooPrecise);
        }
        exact.rescale(currency.decimals());
        if exact.scale() != currency.decimals() {
            return Err(InvalidAmount::TooLarge);
        }
        let minor = i64::try_from(exact.mantissa()).map_err(|_| InvalidAmount::TooLarge)?;
        Ok(Self { minor, currency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(amount: &str, code: &str) -> Result<i64, InvalidAmount> {
        Money::from_amount(amount.parse().unwrap(), code.parse().unwrap()).map(|money| money.minor)
    }

    #[test]
    fn each_currency_has_its_own_decimals() {
        assert_eq!(read("45", "EUR"), Ok(4500));
        assert_eq!(read("45.50", "EUR"), Ok(4550));
        assert_eq!(read("45.500", "EUR"), Ok(4550));
        assert_eq!(read("1000", "JPY"), Ok(1000));
        assert_eq!(read("1.234", "KWD"), Ok(1234));
        assert_eq!(read("0.001", "EUR"), Err(InvalidAmount::TooPrecise));
        assert_eq!(read("0.5", "JPY"), Err(InvalidAmount::TooPrecise));
        assert_eq!(read("99999999999999999999", "EUR"), Err(InvalidAmount::TooLarge));
        assert_eq!(read("79228162514264337593543950335", "EUR"), Err(InvalidAmount::TooLarge));
    }

    #[test]
    fn amounts_keep_their_decimals() {
        let money = Money { minor: 4500, currency: "EUR".parse().unwrap() };
        assert_eq!(money.amount().to_string(), "45.00");
        assert_eq!("eur".parse::<Currency>(), Err(()));
        assert_eq!("EURO".parse::<Currency>(), Err(()));
    }
}
