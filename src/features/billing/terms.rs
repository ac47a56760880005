//! The terms of a plan: prices, limits and features; and how a price rates a quantity.
//!
//! The pricing models follow common practice (Stripe Billing, Lago): a flat fee, an amount for each unit, tiers
//! (graduated: each unit at its own tier's price; volume: all units at the price of the tier that the total falls
//! into), and packages of units.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cycles::Interval;
use crate::{
    base::money::Currency,
    db::DbError,
    features::entitlements::{FeatureTerm, is_key},
};

/// Maximum number of prices in a version.
const MAX_PRICES: usize = 40;
/// Maximum number of tiers in a price.
const MAX_TIERS: usize = 20;
/// Maximum number of limits, and of features, in a version.
const MAX_KEYS: usize = 100;
/// Maximum amount of a price, in units of the currency.
const MAX_AMOUNT: i64 = 1_000_000;
/// Maximum number of decimals of a unit amount, which can be far less than a cent.
const MAX_DECIMALS: u32 = 9;
/// Maximum limit, and maximum size of a package or tier.
const MAX_QUANTITY: i64 = 1_000_000_000_000;
/// Maximum length of a trial, in days.
const MAX_TRIAL: i32 = 365;

/// The terms of a plan version. A copy is stored in the tenant's store when the tenant subscribes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// The currency of every price.
    pub currency: String,
    /// Free days when a tenant subscribes to its first plan with a trial.
    pub trial_days: i32,
    /// The prices; a free plan has none.
    pub prices: Vec<Price>,
    /// The maximum of each meter. A meter that is not listed has no limit.
    pub limits: BTreeMap<String, i64>,
    /// The included features.
    pub features: Vec<FeatureTerm>,
}

/// One price of a version. Its id is unique across all versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// The id, which invoice lines refer to.
    pub id: Uuid,
    /// The name on the invoice line.
    pub name: String,
    /// How often it is charged.
    pub interval: Interval,
    /// The meter it rates; `None` for the flat fee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meter: Option<String>,
    /// How the amount is calculated.
    pub model: Model,
}

/// How an amount is calculated. Amounts are exact, in units of the currency, and may have more decimals than the
/// currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Model {
    /// A fixed fee, in advance.
    Flat {
        /// The fee for one interval.
        amount: Decimal,
    },
    /// A fixed amount for each unit.
    PerUnit {
        /// The amount for one unit.
        unit: Decimal,
    },
    /// Each unit costs the price of its own tier.
    Graduated {
        /// The tiers, lowest first.
        tiers: Vec<Tier>,
    },
    /// All units cost the price of the tier that the total falls into.
    Volume {
        /// The tiers, lowest first.
        tiers: Vec<Tier>,
    },
    /// A fixed amount for each started package.
    Package {
        /// The units in one package.
        size: i64,
        /// The amount for one package.
        amount: Decimal,
    },
}

/// A tier of a price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tier {
    /// The last unit of the tier; `None` for the last tier.
    pub up_to: Option<i64>,
    /// The amount for one unit.
    pub unit: Decimal,
    /// The fixed amount, charged once if any unit falls into the tier.
    pub flat: Decimal,
}

/// A part of an amount: a quantity at a unit price, plus a fixed amount.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Units or packages.
    pub quantity: i64,
    /// The amount for one.
    pub unit: Decimal,
    /// The fixed amount.
    pub flat: Decimal,
    /// The exact sum of both.
    pub amount: Decimal,
}

/// An amount exceeds the representable range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Model {
    /// The parts of what a quantity costs. A quantity of zero has none, except for a flat fee.
    ///
    /// # Errors
    /// When the amount exceeds the representable range.
    pub fn steps(&self, quantity: i64) -> Result<Vec<Step>, TooLarge> {
        let step = |quantity: i64, unit: Decimal, flat: Decimal| {
            let amount = Decimal::from(quantity).checked_mul(unit).and_then(|it| it.checked_add(flat));
            amount.map(|amount| Step { quantity, unit, flat, amount }).ok_or(TooLarge)
        };
        let zero = Decimal::ZERO;
        if quantity <= 0 && !matches!(self, Self::Flat { .. }) {
            return Ok(Vec::new());
        }
        match self {
            Self::Flat { amount } => Ok(vec![step(1, *amount, zero)?]),
            Self::PerUnit { unit } => Ok(vec![step(quantity, *unit, zero)?]),
            Self::Package { size, amount } => {
                let packages = quantity / size + i64::from(quantity % size != 0);
                Ok(vec![step(packages, *amount, zero)?])
            }
            Self::Volume { tiers } => {
                let tier = tiers.iter().find(|it| it.up_to.is_none_or(|last| quantity <= last));
                tier.map(|it| step(quantity, it.unit, it.flat)).into_iter().collect()
            }
            Self::Graduated { tiers } => {
                let (mut steps, mut below) = (Vec::new(), 0);
                for tier in tiers {
                    let top = tier.up_to.unwrap_or(i64::MAX).min(quantity);
                    if top > below {
                        steps.push(step(top - below, tier.unit, tier.flat)?);
                        below = top;
                    }
                }
                Ok(steps)
            }
        }
    }

    /// The exact price of a quantity.
    ///
    /// # Errors
    /// When the amount exceeds the representable range.
    pub fn rate(&self, quantity: i64) -> Result<Decimal, TooLarge> {
        let steps = self.steps(quantity)?;
        steps.iter().try_fold(Decimal::ZERO, |sum, it| sum.checked_add(it.amount)).ok_or(TooLarge)
    }

    fn amounts(&self) -> Vec<Decimal> {
        match self {
            Self::Flat { amount } | Self::Package { amount, .. } => vec![*amount],
            Self::PerUnit { unit } => vec![*unit],
            Self::Graduated { tiers } | Self::Volume { tiers } => {
                tiers.iter().flat_map(|it| [it.unit, it.flat]).collect()
            }
        }
    }
}

/// Rounds an exact amount once, to minor units: half a cent rounds away from zero.
///
/// # Errors
/// When the amount exceeds the representable range.
pub fn round(amount: Decimal, currency: Currency) -> Result<i64, TooLarge> {
    let minor = amount.checked_mul(Decimal::from(10_i64.pow(currency.decimals()))).ok_or(TooLarge)?;
    minor.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_i64().ok_or(TooLarge)
}

/// The share of an amount for a part of an interval, in minor units, rounded once.
///
/// # Errors
/// When the amount exceeds the representable range.
pub fn share(amount: Decimal, part_us: i64, whole_us: i64, currency: Currency) -> Result<i64, TooLarge> {
    if part_us == whole_us {
        return round(amount, currency);
    }
    let product = amount.checked_mul(Decimal::from(part_us)).ok_or(TooLarge)?;
    round(product.checked_div(Decimal::from(whole_us)).ok_or(TooLarge)?, currency)
}

/// An invalid field of a version, and the message.
pub type Fault = (&'static str, String);

impl Terms {
    /// The currency of every price.
    ///
    /// # Errors
    /// When the text is not a currency, which [`check`](Self::check) has refused.
    pub fn currency(&self) -> Result<Currency, DbError> {
        self.currency.parse().map_err(|()| DbError::Corrupt(format!("{:?} is not a currency", self.currency)))
    }

    /// The flat price for this interval.
    pub fn flat(&self, interval: Interval) -> Option<&Price> {
        self.prices.iter().find(|it| it.interval == interval && it.meter.is_none())
    }

    /// Whether the plan is sold for this interval. A free plan is monthly.
    pub fn is_offered(&self, interval: Interval) -> bool {
        self.prices.iter().any(|it| it.interval == interval) || (self.prices.is_empty() && interval == Interval::Month)
    }

    /// Whether the plan can ever cost anything.
    pub fn costs(&self) -> bool {
        self.prices.iter().flat_map(|it| it.model.amounts()).any(|it| !it.is_zero())
    }

    /// Whether a price, limit or feature uses this meter.
    pub fn knows_meter(&self, meter: &str) -> bool {
        self.prices.iter().any(|it| it.meter.as_deref() == Some(meter))
            || self.limits.contains_key(meter)
            || self.features.iter().any(|it| matches!(it, FeatureTerm::Metered { meter: of, .. } if of == meter))
    }

    /// Validates the terms.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn check(&self) -> Result<(), Fault> {
        let fail = |field, message: &str| Err((field, message.to_owned()));
        let Ok(currency) = self.currency.parse::<Currency>() else {
            return fail("currency", "Must be an ISO 4217 currency code, such as EUR.");
        };
        if !(0..=MAX_TRIAL).contains(&self.trial_days) {
            return fail("trialDays", "A trial must have 0 to 365 days.");
        }
        if self.prices.len() > MAX_PRICES || self.limits.len() > MAX_KEYS || self.features.len() > MAX_KEYS {
            return fail("prices", "A version can have at most 40 prices, 100 limits and 100 features.");
        }
        for (index, price) in self.prices.iter().enumerate() {
            price.check(currency)?;
            let twin = |it: &Price| it.interval == price.interval && it.meter == price.meter;
            if self.prices[..index].iter().any(twin) {
                return fail(
                    "prices",
                    "Each meter can have one price for each interval, and each interval one flat fee.",
                );
            }
        }
        for (meter, most) in &self.limits {
            if !is_key(meter) || !(0..=MAX_QUANTITY).contains(most) {
                return fail(
                    "limits",
                    "A limit needs a meter (letters a to z, digits, underscores) and must not be negative.",
                );
            }
        }
        for (index, feature) in self.features.iter().enumerate() {
            if !is_key(feature.key()) || self.features[..index].iter().any(|it| it.key() == feature.key()) {
                return fail("features", "Each feature needs a unique key (letters a to z, digits, underscores).");
            }
            let fits = match feature {
                FeatureTerm::Switch(_) => true,
                FeatureTerm::Number { number, .. } => (0..=MAX_QUANTITY).contains(number),
                FeatureTerm::Metered { meter, .. } => is_key(meter),
            };
            if !fits {
                return fail("features", "A number must not be negative, and a meter must be a valid key.");
            }
        }
        Ok(())
    }
}

impl Price {
    fn check(&self, currency: Currency) -> Result<(), Fault> {
        let fail = |message: &str| Err(("prices", message.to_owned()));
        if self.name.trim().is_empty() || self.name.chars().count() > 100 {
            return fail("A price name must have 1 to 100 characters.");
        }
        let is_flat = matches!(self.model, Model::Flat { .. });
        if is_flat != self.meter.is_none() || self.meter.as_deref().is_some_and(|it| !is_key(it)) {
            return fail("A flat fee has no meter; every other price needs one (letters a to z, digits, underscores).");
        }
        for amount in self.model.amounts() {
            let decimals = if is_flat { currency.decimals() } else { MAX_DECIMALS };
            if amount.is_sign_negative() && !amount.is_zero() || amount > Decimal::from(MAX_AMOUNT) {
                return fail("An amount must be between 0 and 1000000.");
            }
            if amount.normalize().scale() > decimals {
                return fail("A flat fee can have as many decimals as its currency, any other amount at most 9.");
            }
        }
        match &self.model {
            Model::Package { size, .. } if !(1..=MAX_QUANTITY).contains(size) => {
                fail("A package must have at least one unit.")
            }
            Model::Graduated { tiers } | Model::Volume { tiers } => {
                let rises = tiers.windows(2).all(|it| match (it[0].up_to, it[1].up_to) {
                    (Some(low), Some(high)) => low < high,
                    (Some(_), None) => true,
                    (None, _) => false,
                });
                let begins = tiers.first().is_some_and(|it| it.up_to.is_none_or(|it| it >= 1));
                let ends = tiers.last().is_some_and(|it| it.up_to.is_none());
                if !(rises && begins && ends) || tiers.len() > MAX_TIERS {
                    return fail(
                        "Tiers must start at one unit, increase, and end with an open tier; at most 20 are allowed.",
                    );
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn tiers(of: &[(Option<i64>, &str, &str)]) -> Vec<Tier> {
        of.iter().map(|(up_to, unit, flat)| Tier { up_to: *up_to, unit: dec(unit), flat: dec(flat) }).collect()
    }

    /// The examples from Stripe's documentation on pricing models.
    #[test]
    fn each_model_rates_as_the_field_does() {
        let of = || tiers(&[(Some(5), "7", "0"), (Some(10), "6.50", "10"), (None, "6", "0")]);
        let graduated = Model::Graduated { tiers: of() };
        let volume = Model::Volume { tiers: of() };
        for (quantity, by_tier, by_volume) in [
            (0, "0", "0"),
            (1, "7", "7"),
            (5, "35", "35"),
            (6, "51.50", "49"),
            (10, "77.50", "75"),
            (20, "137.50", "120"),
        ] {
            assert_eq!(graduated.rate(quantity), Ok(dec(by_tier)), "{quantity}");
            assert_eq!(volume.rate(quantity), Ok(dec(by_volume)), "{quantity}");
        }
        let package = Model::Package { size: 100, amount: dec("5") };
        for (quantity, expected) in [(0, "0"), (1, "5"), (100, "5"), (101, "10")] {
            assert_eq!(package.rate(quantity), Ok(dec(expected)));
        }
        assert_eq!(Model::PerUnit { unit: dec("0.0015") }.rate(1_333), Ok(dec("1.9995")));
    }

    #[test]
    fn an_amount_is_rounded_once_and_half_a_cent_goes_up() {
        let eur = Currency::EUR;
        assert_eq!(round(dec("1.9995"), eur), Ok(200));
        assert_eq!(round(dec("0.005"), eur), Ok(1));
        assert_eq!(round(dec("-0.005"), eur), Ok(-1));
        assert_eq!(round(dec("0.00499"), eur), Ok(0));
        assert_eq!(round(dec("1.5"), "JPY".parse().unwrap()), Ok(2));
        assert_eq!(round(dec("79228162514264337593543950335"), eur), Err(TooLarge));
        assert_eq!(share(dec("29"), 1, 3, eur), Ok(967));
    }

    fn price(model: Model, meter: Option<&str>) -> Terms {
        let price =
            Price { id: Uuid::nil(), name: "x".into(), interval: Interval::Month, meter: meter.map(Into::into), model };
        Terms { currency: "EUR".into(), trial_days: 0, prices: vec![price], limits: BTreeMap::new(), features: vec![] }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let flat = |amount: &str| price(Model::Flat { amount: dec(amount) }, None);
        assert_eq!(flat("29.00").check(), Ok(()));
        assert_eq!(flat("29.001").check().unwrap_err().0, "prices");
        assert_eq!(flat("-1").check().unwrap_err().0, "prices");
        assert_eq!(price(Model::Flat { amount: dec("1") }, Some("sms")).check().unwrap_err().0, "prices");
        assert_eq!(price(Model::PerUnit { unit: dec("1") }, None).check().unwrap_err().0, "prices");
        assert_eq!(price(Model::Package { size: 0, amount: dec("1") }, Some("sms")).check().unwrap_err().0, "prices");
        for bad in [
            tiers(&[]),
            tiers(&[(Some(5), "1", "0")]),
            tiers(&[(None, "1", "0"), (None, "1", "0")]),
            tiers(&[(Some(5), "1", "0"), (Some(5), "1", "0"), (None, "1", "0")]),
            tiers(&[(Some(0), "1", "0"), (None, "1", "0")]),
        ] {
            assert!(price(Model::Graduated { tiers: bad.clone() }, Some("sms")).check().is_err(), "{bad:?}");
        }
        let twice = Terms { prices: [flat("1").prices, flat("2").prices].concat(), ..flat("1") };
        assert!(twice.check().is_err());
        assert_eq!(Terms { currency: "eur".into(), ..flat("1") }.check().unwrap_err().0, "currency");
        assert_eq!(Terms { trial_days: 400, ..flat("1") }.check().unwrap_err().0, "trialDays");
        let limits = BTreeMap::from([("Bad key".to_owned(), 1)]);
        assert_eq!(Terms { limits, ..flat("1") }.check().unwrap_err().0, "limits");
    }

    #[test]
    fn terms_read_back_as_they_were_written() {
        let mut terms =
            price(Model::Graduated { tiers: tiers(&[(Some(5), "0.0015", "0"), (None, "1", "2")]) }, Some("sms"));
        terms.features = vec![
            FeatureTerm::Switch("branding".into()),
            FeatureTerm::Number { key: "locations".into(), number: 3 },
            FeatureTerm::Metered { key: "texting".into(), meter: "sms".into() },
        ];
        let text = serde_json::to_string(&terms).unwrap();
        assert!(text.contains(r#""unit":"0.0015""#), "amounts are text, so that nothing is lost: {text}");
        assert_eq!(serde_json::from_str::<Terms>(&text).unwrap(), terms);
    }

    proptest! {
        /// Compares the unit-by-unit calculation of the documentation with the tier-by-tier calculation.
        #[test]
        fn graduated_tiers_sum_up(quantity in 0_i64..400, bounds in prop::collection::btree_set(1_i64..300, 0..5), units in prop::collection::vec(0_i64..10_000, 6)) {
            let bounds: Vec<i64> = bounds.into_iter().collect();
            let tiers: Vec<Tier> = bounds.iter().copied().map(Some).chain([None]).zip(&units)
                .map(|(up_to, unit)| Tier { up_to, unit: Decimal::new(*unit, 4), flat: Decimal::ZERO }).collect();
            let expected: i64 = (1..=quantity).map(|nth| units[bounds.iter().filter(|bound| nth > **bound).count()]).sum();
            prop_assert_eq!(Model::Graduated { tiers }.rate(quantity), Ok(Decimal::new(expected, 4)));
        }
    }
}
