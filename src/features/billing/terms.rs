//! What a plan costs, allows and switches on; and how a quantity is rated by a price.
//!
//! The models are those of the field (Stripe Billing, Lago): a flat fee, an amount for each unit, tiers (graduated: each unit
//! at its own tier's price; volume: all at the price of the tier that the whole falls into), and packages of units.

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

/// Most prices of a version.
const MAX_PRICES: usize = 40;
/// Most tiers of a price.
const MAX_TIERS: usize = 20;
/// Most limits, and most features, of a version.
const MAX_KEYS: usize = 100;
/// Largest amount of a price, in units of the currency.
const MAX_AMOUNT: i64 = 1_000_000;
/// Most decimals of the amount for one unit: it may be far less than a cent.
const MAX_DECIMALS: u32 = 9;
/// Largest limit, and size of a package or tier.
const MAX_QUANTITY: i64 = 1_000_000_000_000;
/// Longest trial, in days.
const MAX_TRIAL: i32 = 365;

/// What a version of a plan says, as it is copied into a tenant's store when the tenant takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Of every price.
    pub currency: String,
    /// Days that a tenant has for nothing when it first takes a plan with a trial.
    pub trial_days: i32,
    /// What it costs. None at all: nothing.
    pub prices: Vec<Price>,
    /// Most of each meter. A meter that is not named has no limit.
    pub limits: BTreeMap<String, i64>,
    /// What it switches on.
    pub features: Vec<FeatureTerm>,
}

/// One price of a version. Its id is never another price's, in no version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// What an invoice's line points to.
    pub id: Uuid,
    /// What the line is called.
    pub name: String,
    /// How often it is due.
    pub interval: Interval,
    /// Of what; the flat fee is of nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meter: Option<String>,
    /// How it is reckoned.
    pub model: Model,
}

/// How a price is reckoned. Amounts are in units of the currency, exact, and may have more decimals than it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Model {
    /// The same every time, in advance.
    Flat {
        /// Of one interval.
        amount: Decimal,
    },
    /// For each unit.
    PerUnit {
        /// Of one.
        unit: Decimal,
    },
    /// Each unit at the price of the tier that it falls into.
    Graduated {
        /// From the lowest up.
        tiers: Vec<Tier>,
    },
    /// All units at the price of the tier that the whole falls into.
    Volume {
        /// From the lowest up.
        tiers: Vec<Tier>,
    },
    /// For each package that was begun.
    Package {
        /// Units of one.
        size: i64,
        /// Of one.
        amount: Decimal,
    },
}

/// A tier of a price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tier {
    /// Its last unit; the last tier has none.
    pub up_to: Option<i64>,
    /// Of one unit.
    pub unit: Decimal,
    /// Once, where any unit falls into it.
    pub flat: Decimal,
}

/// A part of an amount: so many units at so much, and so much once.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Units, or packages.
    pub quantity: i64,
    /// Of one.
    pub unit: Decimal,
    /// Once.
    pub flat: Decimal,
    /// Both together, exact.
    pub amount: Decimal,
}

/// An amount is larger than money can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Model {
    /// The parts of what a quantity costs; of nothing there are none, but for the flat fee.
    ///
    /// # Errors
    /// When the amount is larger than a number can be.
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

    /// What a quantity costs, exact.
    ///
    /// # Errors
    /// When the amount is larger than a number can be.
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

/// An exact amount in minor units, rounded once: half a cent goes up, away from nothing.
///
/// # Errors
/// When it is larger than money can be.
pub fn round(amount: Decimal, currency: Currency) -> Result<i64, TooLarge> {
    let minor = amount.checked_mul(Decimal::from(10_i64.pow(currency.decimals()))).ok_or(TooLarge)?;
    minor.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_i64().ok_or(TooLarge)
}

/// The part of an amount that falls to a part of a time, in minor units, rounded once.
///
/// # Errors
/// When it is larger than money can be.
pub fn share(amount: Decimal, part_us: i64, whole_us: i64, currency: Currency) -> Result<i64, TooLarge> {
    if part_us == whole_us {
        return round(amount, currency);
    }
    let product = amount.checked_mul(Decimal::from(part_us)).ok_or(TooLarge)?;
    round(product.checked_div(Decimal::from(whole_us)).ok_or(TooLarge)?, currency)
}

/// A field of a version that is not as it has to be, and what it has to be.
pub type Fault = (&'static str, String);

impl Terms {
    /// Of every price.
    ///
    /// # Errors
    /// Where the text is none, which [`check`](Self::check) has refused.
    pub fn currency(&self) -> Result<Currency, DbError> {
        self.currency.parse().map_err(|()| DbError::Corrupt(format!("{:?} is no currency", self.currency)))
    }

    /// The flat price of this interval.
    pub fn flat(&self, interval: Interval) -> Option<&Price> {
        self.prices.iter().find(|it| it.interval == interval && it.meter.is_none())
    }

    /// Whether a tenant can take it for this interval: a plan that costs nothing is by the month.
    pub fn is_offered(&self, interval: Interval) -> bool {
        self.prices.iter().any(|it| it.interval == interval) || (self.prices.is_empty() && interval == Interval::Month)
    }

    /// Whether anything can ever be due for it.
    pub fn costs(&self) -> bool {
        self.prices.iter().flat_map(|it| it.model.amounts()).any(|it| !it.is_zero())
    }

    /// Whether a price, limit or feature speaks of this meter.
    pub fn knows_meter(&self, meter: &str) -> bool {
        self.prices.iter().any(|it| it.meter.as_deref() == Some(meter))
            || self.limits.contains_key(meter)
            || self.features.iter().any(|it| matches!(it, FeatureTerm::Metered { meter: of, .. } if of == meter))
    }

    /// Whether all of it makes sense.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), Fault> {
        let fail = |field, message: &str| Err((field, message.to_owned()));
        let Ok(currency) = self.currency.parse::<Currency>() else {
            return fail("currency", "It must be a currency of ISO 4217, such as EUR.");
        };
        if !(0..=MAX_TRIAL).contains(&self.trial_days) {
            return fail("trialDays", "A trial has 0 to 365 days.");
        }
        if self.prices.len() > MAX_PRICES || self.limits.len() > MAX_KEYS || self.features.len() > MAX_KEYS {
            return fail("prices", "A version has at most 40 prices, 100 limits and 100 features.");
        }
        for (index, price) in self.prices.iter().enumerate() {
            price.check(currency)?;
            let twin = |it: &Price| it.interval == price.interval && it.meter == price.meter;
            if self.prices[..index].iter().any(twin) {
                return fail("prices", "There is one price at most of each meter and interval, and one flat fee.");
            }
        }
        for (meter, most) in &self.limits {
            if !is_key(meter) || !(0..=MAX_QUANTITY).contains(most) {
                return fail(
                    "limits",
                    "A limit has a meter (letters a to z, digits, underscores) and is not negative.",
                );
            }
        }
        for (index, feature) in self.features.iter().enumerate() {
            if !is_key(feature.key()) || self.features[..index].iter().any(|it| it.key() == feature.key()) {
                return fail("features", "Each feature has a key of its own: letters a to z, digits, underscores.");
            }
            let fits = match feature {
                FeatureTerm::Switch(_) => true,
                FeatureTerm::Number { number, .. } => (0..=MAX_QUANTITY).contains(number),
                FeatureTerm::Metered { meter, .. } => is_key(meter),
            };
            if !fits {
                return fail("features", "A number is not negative, and a meter is a key.");
            }
        }
        Ok(())
    }
}

impl Price {
    fn check(&self, currency: Currency) -> Result<(), Fault> {
        let fail = |message: &str| Err(("prices", message.to_owned()));
        if self.name.trim().is_empty() || self.name.chars().count() > 100 {
            return fail("A price has a name of 1 to 100 characters.");
        }
        let is_flat = matches!(self.model, Model::Flat { .. });
        if is_flat != self.meter.is_none() || self.meter.as_deref().is_some_and(|it| !is_key(it)) {
            return fail(
                "The flat fee has no meter; every other price has one, of letters a to z, digits, underscores.",
            );
        }
        for amount in self.model.amounts() {
            let decimals = if is_flat { currency.decimals() } else { MAX_DECIMALS };
            if amount.is_sign_negative() && !amount.is_zero() || amount > Decimal::from(MAX_AMOUNT) {
                return fail("An amount is from 0 to 1000000.");
            }
            if amount.normalize().scale() > decimals {
                return fail("A flat fee has as many decimals as its currency, every other amount at most 9.");
            }
        }
        match &self.model {
            Model::Package { size, .. } if !(1..=MAX_QUANTITY).contains(size) => {
                fail("A package has at least one unit.")
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
                    return fail("Tiers rise, from one unit on, and the last has no end; there are 20 at most.");
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

    /// The examples of Stripe's documentation on pricing models.
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
        /// Unit by unit, which is how the field explains it, against tier by tier.
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
