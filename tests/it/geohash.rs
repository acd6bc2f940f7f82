//! Geohashes, distances and searches against a real redis-server's geo commands.

use common::{RawClient, RedisServer, TestResult, Value};
use pmemkv_server::geohash::{
    self, Area, Point, Shape, Unit, decode, distance_m, distance_text, text,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const UNITS: [(&str, Unit); 4] = [
    ("m", Unit::Meters),
    ("KM", Unit::Kilometers),
    ("ft", Unit::Feet),
    ("mi", Unit::Miles),
];

/// Points all over the earth, many of them close together, and those at the ends.
fn points(random: &mut StdRng) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for longitude in [-180.0, -179.999_999, -90.0, 0.0, 1e-9, 13.361_389, 180.0] {
        for latitude in [-85.051_128_78, -66.0, -45.0, 0.0, 38.115_556, 85.051_128_78] {
            points.push(Point {
                longitude,
                latitude,
            });
        }
    }
    for _ in 0..600 {
        points.push(Point {
            longitude: random.random_range(-180.0..180.0),
            latitude: random.random_range(-85.0..85.0),
        });
    }
    for _ in 0..1_400 {
        let near = points[random.random_range(0..100)];
        let spread = 10f64.powi(random.random_range(-6..1));
        let point = Point {
            longitude: near.longitude + random.random_range(-spread..spread),
            latitude: near.latitude + random.random_range(-spread..spread),
        };
        if point.is_valid() {
            points.push(point);
        }
    }
    points
}

fn call(client: &mut RawClient, words: &[String]) -> TestResult<Vec<Value>> {
    let reply = client.call(words)?;
    Ok(reply
        .items()
        .ok_or_else(|| format!("{words:?}: {reply:?}"))?
        .to_vec())
}

/// The score as a sorted set keeps it: a double, which has one bit too few for points in the farthest east.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
fn encode(point: Point) -> u64 {
    geohash::encode(point) as f64 as u64
}

/// A coordinate as Redis shows it: up to 17 digits after the point.
fn shown(degrees: f64) -> String {
    let text = format!("{degrees:.17}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

fn fill(client: &mut RawClient, points: &[Point]) -> TestResult {
    for (number, point) in points.iter().enumerate() {
        let (longitude, latitude) = (point.longitude.to_string(), point.latitude.to_string());
        let member = number.to_string();
        client.call(&["GEOADD", "geo", &longitude, &latitude, &member])?;
    }
    Ok(())
}

#[test]
fn scores_places_and_distances() -> TestResult {
    let redis = RedisServer::start()?;
    let mut client = redis.raw()?;
    let mut random = StdRng::seed_from_u64(1);
    let points = points(&mut random);
    fill(&mut client, &points)?;
    for (number, &point) in points.iter().enumerate() {
        let member = number.to_string();
        let score = client.call(&["ZSCORE", "geo", &member])?;
        assert_eq!(score.text(), Some(encode(point).to_string()), "{point:?}");
        let hash = call(&mut client, &["GEOHASH", "geo", &member].map(str::to_owned))?;
        assert_eq!(hash[0].text(), Some(text(encode(point))), "{point:?}");

        let place = decode(encode(point));
        let reply = call(&mut client, &["GEOPOS", "geo", &member].map(str::to_owned))?;
        let reply: Vec<_> = reply[0].items().unwrap_or_default().iter().collect();
        let told: Vec<_> = reply.iter().filter_map(|value| value.text()).collect();
        assert_eq!(told, [shown(place.longitude), shown(place.latitude)]);

        let other = random.random_range(0..points.len());
        let (name, unit) = UNITS[number % 4];
        let reply = client.call(&["GEODIST", "geo", &member, &other.to_string(), name])?;
        let distance = distance_m(place, decode(encode(points[other]))) / unit.meters();
        assert_eq!(reply.text(), Some(distance_text(distance)), "{point:?}");
    }
    Ok(())
}

/// The places that a search by cells finds, in the cells' order, with their distances.
fn search(by_score: &[(u64, String)], area: &Area) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (min, max) in area.cells() {
        let start = by_score.partition_point(|(score, _)| *score < min);
        let end = by_score.partition_point(|(score, _)| *score < max);
        for (score, member) in &by_score[start..end] {
            if let Some(distance) = area.distance_m(decode(*score)) {
                let distance = distance / area.unit.meters();
                found.push((member.clone(), distance_text(distance)));
            }
        }
    }
    found
}

#[test]
fn searches_find_the_same_in_the_same_order() -> TestResult {
    let redis = RedisServer::start()?;
    let mut client = redis.raw()?;
    let mut random = StdRng::seed_from_u64(2);
    let points = points(&mut random);
    fill(&mut client, &points)?;
    let mut by_score: Vec<_> = points
        .iter()
        .enumerate()
        .map(|(number, &point)| (encode(point), number.to_string()))
        .collect();
    by_score.sort();
    let mut found = 0;
    for round in 0..3_000 {
        let centre = if round % 3 == 0 {
            points[random.random_range(0..points.len())]
        } else {
            Point {
                longitude: random.random_range(-180.0..180.0),
                latitude: random.random_range(-85.0..85.0),
            }
        };
        let (name, unit) = UNITS[round % 4];
        let length = |random: &mut StdRng| {
            let meters = 10f64.powf(random.random_range(0.0..7.6));
            if random.random_ratio(1, 50) {
                0.0
            } else {
                meters / unit.meters()
            }
        };
        let (shape, mut words) = if round % 2 == 0 {
            let radius = length(&mut random);
            (
                Shape::Circle { radius },
                vec!["BYRADIUS".to_owned(), radius.to_string()],
            )
        } else {
            let (width, height) = (length(&mut random), length(&mut random));
            let words = vec!["BYBOX".to_owned(), width.to_string(), height.to_string()];
            (Shape::Box { width, height }, words)
        };
        words.splice(
            0..0,
            [
                "GEOSEARCH".to_owned(),
                "geo".to_owned(),
                "FROMLONLAT".to_owned(),
                centre.longitude.to_string(),
                centre.latitude.to_string(),
            ],
        );
        words.extend([name.to_owned(), "WITHDIST".to_owned()]);
        let told: Vec<(String, String)> = call(&mut client, &words)?
            .iter()
            .filter_map(|item| {
                let item = item.items()?;
                Some((item[0].text()?, item[1].text()?))
            })
            .collect();
        let area = Area {
            centre,
            shape,
            unit,
        };
        let ours = search(&by_score, &area);
        assert_eq!(ours, told, "{words:?}");
        found += told.len();
    }
    assert!(found > 100_000, "{found} points found");
    Ok(())
}
