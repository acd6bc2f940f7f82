use proptest::prelude::*;

use super::*;

const PALERMO: Point = Point {
    longitude: 13.361_389,
    latitude: 38.115_556,
};
const CATANIA: Point = Point {
    longitude: 15.087_269,
    latitude: 37.502_669,
};

type Known = ((f64, f64), u64, (f64, f64), &'static str);

/// What redis-server 7.0.15 makes of points: longitude and latitude as given, score, longitude and latitude as kept (up
/// to the 17th digit behind the point), hash.
#[allow(clippy::unreadable_literal)] // As they are told.
const REDIS: [Known; 14] = [
    (
        (13.361389, 38.115556),
        3479099956230698,
        (13.361389338970184, 38.1155563954963),
        "sqc8b49rny0",
    ),
    (
        (15.087269, 37.502669),
        3479447370796909,
        (15.087267458438873, 37.50266842333162),
        "sqdtr74hyu0",
    ),
    (
        (0.0, 0.0),
        3377699720527872,
        (2.68220901489e-06, 1.26736058093e-06),
        "s0000000000",
    ),
    (
        (-180.0, -85.05112878),
        0,
        (-179.99999731779099, -85.05112751263943),
        "00bh0hbj200",
    ),
    (
        (-180.0, 85.05112878),
        4503599627370496,
        (-179.99999731779099, 85.05112878),
        "bp05b5048p0",
    ),
    (
        (179.999999, -85.05112878),
        3002399751580330,
        (179.99999731779099, -85.05112751263943),
        "pbzupuzvrb0",
    ),
    (
        (-1e-06, 1e-06),
        1876499844737706,
        (-2.68220901489e-06, 1.26736058093e-06),
        "ebpbpbpbpb0",
    ),
    (
        (-122.4194155, 37.7749295),
        1367859919124776,
        (-122.41941779851913, 37.774930427219694),
        "9q8yyk8yuv0",
    ),
    (
        (151.2092955, -33.8688197),
        3252046221958827,
        (151.20929449796677, -33.86881866238968),
        "r3gx2f75zf0",
    ),
    (
        (2.2944813, 48.8583701),
        3663832614286749,
        (2.2944822907447815, 48.85837130043967),
        "u09tunqu9k0",
    ),
    (
        (-43.2104872, -22.951916),
        1008472602334755,
        (-43.210486471652985, -22.951916573501737),
        "75cm2txp6s0",
    ),
    (
        (90.0, 45.0),
        4222486838317376,
        (90.00000268220901, 45.00000100864581),
        "y0000000000",
    ),
    (
        (-90.0, -45.0),
        656412758000661,
        (-89.99999731779099, -45.00000100864581),
        "4pbpbpbpbp0",
    ),
    (
        (0.0, 85.05112878),
        6755399441055744,
        (2.68220901489e-06, 85.05112878),
        "up05b5048p0",
    ),
];

fn point(longitude: f64, latitude: f64) -> Point {
    Point {
        longitude,
        latitude,
    }
}

#[test]
fn scores_places_and_texts() {
    for (given, score, place, hash) in REDIS {
        let given = point(given.0, given.1);
        assert_eq!(encode(given), score, "{given:?}");
        let decoded = decode(score);
        assert!((decoded.longitude - place.0).abs() < 1e-17, "{given:?}");
        assert!((decoded.latitude - place.1).abs() < 1e-17, "{given:?}");
        assert_eq!(text(score), hash, "{given:?}");
    }
}

/// What redis-server 7.0.15 answers to GEODIST of these places, in each unit.
#[test]
fn distances() {
    let (palermo, catania) = (decode(encode(PALERMO)), decode(encode(CATANIA)));
    for (unit, expected) in [
        ("m", "166274.1516"),
        ("km", "166.2742"),
        ("FT", "545518.8700"),
        ("Mi", "103.3182"),
    ] {
        let unit = Unit::from_name(unit.as_bytes()).expect("a unit");
        let distance = distance_m(palermo, catania) / unit.meters();
        assert_eq!(distance_text(distance), expected);
    }
    for name in ["", "x", "meter", "k", "mm"] {
        assert_eq!(Unit::from_name(name.as_bytes()), None, "{name}");
    }
    let north = point(PALERMO.longitude, PALERMO.latitude + 1.0);
    assert_eq!(distance_text(distance_m(PALERMO, north)), "111226.3000");
    assert_eq!(distance_text(distance_m(PALERMO, PALERMO)), "0.0000");
}

#[test]
fn halves_go_to_the_even_side() {
    for (distance, text) in [
        (0.000_05, "0.0000"),
        (0.5, "0.5000"),
        (41_185_635.928_85, "41185635.9288"),
        (22_972_356.508_75, "22972356.5088"),
    ] {
        assert_eq!(distance_text(distance), text);
    }
}

#[test]
fn valid_points() {
    for (longitude, latitude, valid) in [
        (180.0, 85.051_128_78, true),
        (-180.0, -85.051_128_78, true),
        (180.000_001, 0.0, false),
        (0.0, 85.051_128_79, false),
        (f64::NAN, 0.0, false),
        (0.0, f64::INFINITY, false),
    ] {
        assert_eq!(point(longitude, latitude).is_valid(), valid);
    }
}

#[test]
fn an_area_without_extent_is_one_point() {
    let place = decode(encode(PALERMO));
    for shape in [
        Shape::Circle { radius: 0.0 },
        Shape::Box {
            width: 0.0,
            height: 0.0,
        },
    ] {
        let area = Area {
            centre: place,
            shape,
            unit: Unit::Kilometers,
        };
        assert_eq!(area.distance_m(place), Some(0.0));
        assert_eq!(area.distance_m(CATANIA), None);
        let score = encode(place);
        let holds = |&(min, max): &(u64, u64)| (min..max).contains(&score);
        assert!(area.cells().iter().any(holds));
    }
}

fn anywhere() -> impl Strategy<Value = Point> {
    (-180.0..180.0, -LATITUDE_MAX..LATITUDE_MAX)
        .prop_map(|(longitude, latitude)| point(longitude, latitude))
}

fn shape() -> impl Strategy<Value = Shape> {
    let length = (0.0..7.5).prop_map(|digits| 10f64.powf(digits));
    prop_oneof![
        length.clone().prop_map(|radius| Shape::Circle { radius }),
        (length.clone(), length).prop_map(|(width, height)| Shape::Box { width, height }),
    ]
}

proptest! {
    #[test]
    fn a_place_has_the_score_that_it_was_made_from(given in anywhere()) {
        let place = decode(encode(given));
        prop_assert_eq!(encode(place), encode(given));
        // A cell has a diagonal of some 0.7 m at the equator.
        prop_assert!(distance_m(given, place) < 0.7);
    }

    #[test]
    fn any_number_is_a_valid_point(score in any::<u64>()) {
        prop_assert!(decode(score).is_valid());
        prop_assert_eq!(text(score).len(), 11);
    }

    #[test]
    fn cells_hold_small_areas(
        centre in (-170.0..170.0, -60.0..60.0).prop_map(|(x, y)| point(x, y)),
        shape in shape(),
        offset in (-1.0..1.0, -1.0..1.0),
    ) {
        let area = Area { centre, shape, unit: Unit::Meters };
        let reach = match shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => width.max(height) / 2.0,
        };
        prop_assume!(reach < 100_000.0);
        let degrees = reach / 100_000.0;
        let other = point(centre.longitude + degrees * offset.0, centre.latitude + degrees * offset.1);
        if area.distance_m(other).is_some() {
            let score = encode(other);
            prop_assert!(area.cells().iter().any(|&(min, max)| (min..max).contains(&score)));
        }
    }

    #[test]
    fn any_area_has_a_few_distinct_cells(centre in anywhere(), shape in shape()) {
        let cells = Area { centre, shape, unit: Unit::Feet }.cells();
        prop_assert!((1..=9).contains(&cells.len()));
        for (place, cell) in cells.iter().enumerate() {
            prop_assert!(cell.0 < cell.1);
            prop_assert!(!cells[..place].contains(cell));
        }
    }
}
