//! The events of Nexmark: persons who register, auctions that they open, and bids on these.
//!
//! Owns what an event is and how often each value occurs. Knows no topic and no query. Invariant: event `n` follows from the seed and `n`
//! alone, so that any part of the events can be made again, in any order.
//!
//! The proportions and distributions are those of the generator of the benchmark for Flink (`nexmark/nexmark`), as its sources describe
//! them; the numbers by chance are others, and the bidder's first id is added once. Of 50 events one is a person, three are auctions, and
//! the others are bids. Half of the bids are for the hot auction, three of four by the hot bidder, and three of four auctions are opened by
//! the hot seller; hot ones are replaced each 100 auctions or persons. The others are chosen among those that are still young, and a
//! few that do not exist yet.

use chrono::DateTime;
use std::fmt::Write;

/// Events of each kind in 50.
const PERSONS: u64 = 1;
const AUCTIONS: u64 = 3;
const EPOCH: u64 = 50;
/// The first id of persons and of auctions.
const FIRST_ID: u64 = 1_000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// So many persons or auctions later, others are hot.
const HOT_FOR: u64 = 100;
/// Auctions that are open at a time.
const OPEN_AUCTIONS: u64 = 100;
/// Persons who still bid.
const ACTIVE_PERSONS: u64 = 1_000;
/// How many persons and auctions are named before they exist.
const LEAD: u64 = 10;
const CHANNELS: u64 = 10_000;
/// Mean sizes in bytes, which the field `extra` fills up to.
const PERSON_BYTES: usize = 200;
const AUCTION_BYTES: usize = 500;
const BID_BYTES: usize = 100;
/// 2026-01-01, the time of the first event.
pub const BASE_MS: i64 = 1_767_225_600_000;

const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

/// The events of a seed.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    pub seed: u64,
    /// Of event time.
    pub per_second: u64,
    /// So many events are put into another order, group by group: 1 = event time is in order. Not a multiple of 953.
    pub out_of_order_group: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Person(Person),
    Auction(Auction),
    Bid(Bid),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub id: i64,
    pub name: String,
    pub email_address: String,
    pub credit_card: String,
    pub city: &'static str,
    pub state: &'static str,
    pub time_ms: i64,
    pub extra: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Auction {
    pub id: i64,
    pub item_name: String,
    pub description: String,
    pub initial_bid: i64,
    pub reserve: i64,
    pub time_ms: i64,
    pub expires_ms: i64,
    pub seller: i64,
    pub category: i64,
    pub extra: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Bid {
    pub auction: i64,
    pub bidder: i64,
    pub price: i64,
    pub channel: String,
    pub url: String,
    pub time_ms: i64,
    pub extra: String,
}

/// Numbers by chance (splitmix64; Steele, Lea, Flood, 2014).
struct Chance(u64);

impl Chance {
    /// Those of event `n` of a seed.
    fn of(seed: u64, n: u64) -> Self {
        Chance(
            Chance(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ n.wrapping_mul(0xd134_2543_de82_ef95)).next(),
        )
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is below 2^32.
    fn below(&mut self, bound: u64) -> u64 {
        ((self.next() >> 32) * bound) >> 32
    }

    fn size_below(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or(0)
    }

    fn of_these(&mut self, these: &[&'static str]) -> &'static str {
        these[self.size_below(these.len())]
    }

    /// From 100 to 100,000,000; each order of magnitude is as frequent.
    fn price(&mut self) -> i64 {
        let unit = f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / 4_294_967_296.0;
        #[allow(clippy::cast_possible_truncation, reason = "at most 100,000,000")]
        let price = (10_f64.powf(unit * 6.0) * 100.0).round() as i64;
        price
    }

    /// Small letters, and one in 13 times a special one; from 3 up to less than `longest`.
    fn text(&mut self, longest: usize, special: char) -> String {
        let length = 3 + self.size_below(longest - 3);
        let letters = (0..length).map(|_| match self.below(13) {
            0 => special,
            _ => self.letter(),
        });
        letters.collect::<String>().trim().to_owned()
    }

    fn letter(&mut self) -> char {
        char::from(b'a' + u8::try_from(self.below(26)).unwrap_or(0))
    }

    /// Fills up what has `used` bytes, to `mean` bytes on average.
    fn extra(&mut self, used: usize, mean: usize) -> String {
        let Some(free) = mean.checked_sub(used) else { return String::new() };
        let most = (free as u64 * 2).div_ceil(5); // two fifths
        let length = free - free / 5 + usize::try_from(self.below(most.max(1))).unwrap_or(0);
        let mut extra = String::with_capacity(length);
        while extra.len() < length {
            let mut bits = self.next();
            for _ in 0..12.min(length - extra.len()) {
                extra.push(char::from(b'a' + u8::try_from(bits % 26).unwrap_or(0)));
                bits /= 26;
            }
        }
        extra
    }

    fn url(&mut self) -> String {
        let [a, b, c] = std::array::from_fn(|_| self.text(5, '_'));
        format!("https://www.nexmark.com/{a}/{b}/{c}/item.htm?query=1")
    }
}

fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

/// How many persons and auctions there are up to event `n`, itself included.
fn persons(n: u64) -> u64 {
    n / EPOCH * PERSONS + (n % EPOCH + 1).min(PERSONS)
}

fn auctions(n: u64) -> u64 {
    n / EPOCH * AUCTIONS + (n % EPOCH + 1).saturating_sub(PERSONS).min(AUCTIONS)
}

/// The first of the hundred that the last of `count` is in; they are numbered from 0.
fn hot(count: u64) -> u64 {
    count.saturating_sub(1) / HOT_FOR * HOT_FOR
}

/// One of the `young` last ones of `count`, or of those that come next.
fn young(chance: &mut Chance, count: u64, young: u64) -> u64 {
    let young = young.min(count);
    count - young + chance.below(young + LEAD)
}

impl Events {
    /// The `n`-th event in the order in which they come.
    pub fn event(&self, n: u64) -> Event {
        let group = self.out_of_order_group.max(1);
        let n = n / group * group + n * 953 % group;
        let time_ms = self.time_ms(n);
        let mut chance = Chance::of(self.seed, n);
        match n % EPOCH {
            0 => Event::Person(person(n, time_ms, &mut chance)),
            at if at < PERSONS + AUCTIONS => Event::Auction(self.auction(n, time_ms, &mut chance)),
            _ => Event::Bid(self.bid(n, time_ms, &mut chance)),
        }
    }

    fn time_ms(&self, n: u64) -> i64 {
        BASE_MS + signed(n * 1_000 / self.per_second)
    }

    fn auction(&self, n: u64, time_ms: i64, chance: &mut Chance) -> Auction {
        let seller = match chance.below(4) {
            0 => young(chance, persons(n), ACTIVE_PERSONS),
            _ => hot(persons(n)),
        };
        let open_for_ms =
            u64::try_from(self.time_ms(n + OPEN_AUCTIONS * EPOCH / AUCTIONS) - time_ms).unwrap_or(0);
        let expires_ms = time_ms + 1 + signed(chance.below((open_for_ms * 2).max(1)));
        let (item_name, description) = (chance.text(20, ' '), chance.text(100, ' '));
        let initial_bid = chance.price();
        let extra = chance.extra(8 * 6 + item_name.len() + description.len(), AUCTION_BYTES);
        Auction {
            id: signed(FIRST_ID + auctions(n) - 1),
            item_name,
            description,
            initial_bid,
            reserve: initial_bid + chance.price(),
            time_ms,
            expires_ms,
            seller: signed(FIRST_ID + seller),
            category: signed(FIRST_CATEGORY + chance.below(CATEGORIES)),
            extra,
        }
    }

    fn bid(&self, n: u64, time_ms: i64, chance: &mut Chance) -> Bid {
        let auction = match chance.below(2) {
            0 => young(chance, auctions(n), OPEN_AUCTIONS),
            _ => hot(auctions(n)),
        };
        let bidder = match chance.below(4) {
            0 => young(chance, persons(n), ACTIVE_PERSONS),
            // Not the hot seller.
            _ => hot(persons(n)) + 1,
        };
        let price = chance.price();
        let (channel, url) = if chance.below(2) == 0 {
            self.channel(chance.below(CHANNELS))
        } else {
            let hot = chance.below(HOT_CHANNELS.len() as u64);
            let name = HOT_CHANNELS[usize::try_from(hot).unwrap_or(0)];
            (name.to_owned(), Chance::of(self.seed ^ 0x5eed, CHANNELS + hot).url())
        };
        let extra = chance.extra(32, BID_BYTES);
        let (auction, bidder) = (signed(FIRST_ID + auction), signed(FIRST_ID + bidder));
        Bid { auction, bidder, price, channel, url, time_ms, extra }
    }

    /// A channel that is not hot, and its address, which names its number nine times in ten.
    fn channel(&self, number: u64) -> (String, String) {
        let mut chance = Chance::of(self.seed ^ 0x5eed, number);
        let mut url = chance.url();
        if chance.below(10) > 0 {
            let id = u32::try_from(number).unwrap_or(0).reverse_bits() >> 1;
            url.push_str("&channel_id=");
            url.push_str(&id.to_string());
        }
        (format!("channel-{number}"), url)
    }
}

fn person(n: u64, time_ms: i64, chance: &mut Chance) -> Person {
    let name = format!("{} {}", chance.of_these(&FIRST_NAMES), chance.of_these(&LAST_NAMES));
    let email_address = format!("{}@{}.com", chance.text(7, ' '), chance.text(5, ' '));
    let digits: [String; 4] = std::array::from_fn(|_| format!("{:04}", chance.below(10_000)));
    let credit_card = digits.join(" ");
    let (city, state) = (chance.of_these(&CITIES), chance.of_these(&STATES));
    let used = 8 + name.len() + email_address.len() + credit_card.len() + city.len() + state.len();
    let extra = chance.extra(used, PERSON_BYTES);
    Person {
        id: signed(FIRST_ID + persons(n) - 1),
        name,
        email_address,
        credit_card,
        city,
        state,
        time_ms,
        extra,
    }
}

impl Event {
    /// Event time.
    pub fn time_ms(&self) -> i64 {
        match self {
            Event::Person(person) => person.time_ms,
            Event::Auction(auction) => auction.time_ms,
            Event::Bid(bid) => bid.time_ms,
        }
    }

    /// Appends the record of the topic: a field for each kind, of which one is not null.
    pub fn write_json(&self, out: &mut String) {
        let written = match self {
            Event::Person(Person { id, name, email_address, credit_card, city, state, time_ms, extra }) => {
                write!(
                    out,
                    "{{\"event_type\":0,\"person\":{{\"id\":{id},\"name\":\"{name}\",\"emailAddress\":\"{email_address}\",\
                 \"creditCard\":\"{credit_card}\",\"city\":\"{city}\",\"state\":\"{state}\",\"dateTime\":\"{}\",\
                 \"extra\":\"{extra}\"}},\"auction\":null,\"bid\":null}}",
                    shown(*time_ms)
                )
            }
            Event::Auction(auction) => write!(
                out,
                "{{\"event_type\":1,\"person\":null,\"auction\":{{\"id\":{},\"itemName\":\"{}\",\"description\":\"{}\",\
                 \"initialBid\":{},\"reserve\":{},\"dateTime\":\"{}\",\"expires\":\"{}\",\"seller\":{},\"category\":{},\
                 \"extra\":\"{}\"}},\"bid\":null}}",
                auction.id,
                auction.item_name,
                auction.description,
                auction.initial_bid,
                auction.reserve,
                shown(auction.time_ms),
                shown(auction.expires_ms),
                auction.seller,
                auction.category,
                auction.extra
            ),
            Event::Bid(Bid { auction, bidder, price, channel, url, time_ms, extra }) => write!(
                out,
                "{{\"event_type\":2,\"person\":null,\"auction\":null,\"bid\":{{\"auction\":{auction},\"bidder\":{bidder},\
                 \"price\":{price},\"channel\":\"{channel}\",\"url\":\"{url}\",\"dateTime\":\"{}\",\"extra\":\"{extra}\"}}}}",
                shown(*time_ms)
            ),
        };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
}

/// A time as Flink's JSON has it unless another form is asked for.
fn shown(time_ms: i64) -> impl std::fmt::Display {
    DateTime::from_timestamp_millis(time_ms).unwrap_or_default().format("%Y-%m-%d %H:%M:%S%.3f")
}
