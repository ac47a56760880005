//! Bookings by id, their histories and resources, and pages of customers' bookings: one statement per level.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::Loader;

use crate::{
    base::{
        ids::{BookingId, ResourceId, SeriesId, UserId},
        paging::{Page, Slice},
    },
    db::{DbError, ScopedTx},
    features::{
        bookings::{Booking, BookingFilter, BookingKey, Transition},
        notices::Sent,
    },
};

/// Loads bookings in the scope of one transaction.
pub struct BookingLoader(pub Arc<ScopedTx>);

/// The key for the history of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HistoryOf(pub BookingId);

/// The key for the mails about a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoticesOf(pub BookingId);

/// The key for the bookings of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InSeries(pub SeriesId);

/// The key for the resources of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourcesOf(pub BookingId);

/// The key for a page of a customer's bookings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageOf {
    /// The customer.
    pub customer: UserId,
    /// The filter.
    pub filter: BookingFilter,
    /// The page.
    pub page: Page<BookingKey>,
}

impl Loader<BookingId> for BookingLoader {
    type Value = Booking;
    type Error = DbError;

    async fn load(&self, ids: &[BookingId]) -> Result<HashMap<BookingId, Booking>, DbError> {
        crate::features::bookings::by_ids(&self.0, ids).await
    }
}

impl Loader<HistoryOf> for BookingLoader {
    type Value = Vec<Transition>;
    type Error = DbError;

    async fn load(&self, keys: &[HistoryOf]) -> Result<HashMap<HistoryOf, Vec<Transition>>, DbError> {
        let ids: Vec<BookingId> = keys.iter().map(|key| key.0).collect();
        let histories = crate::features::bookings::histories(&self.0, &ids).await?;
        Ok(histories.into_iter().map(|(id, steps)| (HistoryOf(id), steps)).collect())
    }
}

impl Loader<NoticesOf> for BookingLoader {
    type Value = Vec<Sent>;
    type Error = DbError;

    async fn load(&self, keys: &[NoticesOf]) -> Result<HashMap<NoticesOf, Vec<Sent>>, DbError> {
        let ids: Vec<BookingId> = keys.iter().map(|key| key.0).collect();
        let found = crate::features::notices::of_bookings(&self.0, &ids).await?;
        Ok(found.into_iter().map(|(id, sent)| (NoticesOf(id), sent)).collect())
    }
}

impl Loader<InSeries> for BookingLoader {
    type Value = Vec<Booking>;
    type Error = DbError;

    async fn load(&self, keys: &[InSeries]) -> Result<HashMap<InSeries, Vec<Booking>>, DbError> {
        let ids: Vec<SeriesId> = keys.iter().map(|key| key.0).collect();
        let found = crate::features::bookings::of_series(&self.0, &ids).await?;
        Ok(found.into_iter().map(|(id, bookings)| (InSeries(id), bookings)).collect())
    }
}

impl Loader<ResourcesOf> for BookingLoader {
    type Value = Vec<ResourceId>;
    type Error = DbError;

    async fn load(&self, keys: &[ResourcesOf]) -> Result<HashMap<ResourcesOf, Vec<ResourceId>>, DbError> {
        let ids: Vec<BookingId> = keys.iter().map(|key| key.0).collect();
        let resources = crate::features::bookings::resources_of(&self.0, &ids).await?;
        Ok(resources.into_iter().map(|(id, resources)| (ResourcesOf(id), resources)).collect())
    }
}

impl Loader<PageOf> for BookingLoader {
    type Value = Slice<BookingKey, Booking>;
    type Error = DbError;

    /// Runs one statement for each distinct page and filter; a document has as many as it spells out.
    async fn load(&self, keys: &[PageOf]) -> Result<HashMap<PageOf, Self::Value>, DbError> {
        let mut alike: HashMap<(&BookingFilter, &Page<BookingKey>), Vec<UserId>> = HashMap::new();
        for key in keys {
            alike.entry((&key.filter, &key.page)).or_default().push(key.customer);
        }
        let mut found = HashMap::new();
        for ((filter, page), customers) in alike {
            for (customer, slice) in
                crate::features::bookings::pages_of_customers(&self.0, &customers, filter, page).await?
            {
                found.insert(PageOf { customer, filter: filter.clone(), page: page.clone() }, slice);
            }
        }
        Ok(found)
    }
}
