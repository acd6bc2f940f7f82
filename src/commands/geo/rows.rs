//! The rows of the geo commands that look for nothing, and of GEOSEARCH.

use super::places::{geoadd, geodist, geohash, geopos};
use super::search::{geosearch, geosearchstore};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("geoadd", Arity::AtLeast(5), geoadd)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::GEO)
        .keys(&[KeySpec::first(&["RW", "update"])])
        .group(Group::Geo, "3.2.0")
        .summary("Adds places with their coordinates")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "condition",
                ArgumentKind::OneOf(&[Argument::token("nx", "NX"), Argument::token("xx", "XX")]),
            )
            .optional()
            .since("6.2.0"),
            Argument::token("change", "CH").optional().since("6.2.0"),
            Argument::new(
                "longitude_latitude_member",
                ArgumentKind::Block(&[
                    Argument::new("longitude", ArgumentKind::Double),
                    Argument::new("latitude", ArgumentKind::Double),
                    Argument::new("member", ArgumentKind::String),
                ]),
            )
            .multiple(),
        ])
        .history(&[("6.2.0", "Added the `CH`, `NX` and `XX` options.")]),
    Row::new("geodist", Arity::AtLeast(4), geodist)
        .flags(Flags::READONLY)
        .categories(Categories::GEO)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Geo, "3.2.0")
        .summary("Returns the distance between two places")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("member1", ArgumentKind::String),
            Argument::new("member2", ArgumentKind::String),
            Argument::new(
                "unit",
                ArgumentKind::OneOf(&[
                    Argument::token("m", "M"),
                    Argument::token("km", "KM"),
                    Argument::token("ft", "FT"),
                    Argument::token("mi", "MI"),
                ]),
            )
            .optional(),
        ]),
    Row::new("geohash", Arity::AtLeast(2), geohash)
        .flags(Flags::READONLY)
        .categories(Categories::GEO)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Geo, "3.2.0")
        .summary("Returns places as geohash strings")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ]),
    Row::new("geopos", Arity::AtLeast(2), geopos)
        .flags(Flags::READONLY)
        .categories(Categories::GEO)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Geo, "3.2.0")
        .summary("Returns the coordinates of places")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ]),
    Row::new("geosearch", Arity::AtLeast(7), geosearch)
        .flags(Flags::READONLY)
        .categories(Categories::GEO)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Geo, "6.2.0")
        .summary("Returns the places in a circle or a box")
        .complexity("O(N+log(M))")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "from",
                ArgumentKind::OneOf(&[
                    Argument::new("member", ArgumentKind::String).with_token("FROMMEMBER"),
                    Argument::new(
                        "longitude_latitude",
                        ArgumentKind::Block(&[
                            Argument::new("longitude", ArgumentKind::Double),
                            Argument::new("latitude", ArgumentKind::Double),
                        ]),
                    )
                    .with_token("FROMLONLAT"),
                ]),
            ),
            Argument::new(
                "by",
                ArgumentKind::OneOf(&[
                    Argument::new(
                        "circle",
                        ArgumentKind::Block(&[
                            Argument::new("radius", ArgumentKind::Double).with_token("BYRADIUS"),
                            Argument::new(
                                "unit",
                                ArgumentKind::OneOf(&[
                                    Argument::token("m", "M"),
                                    Argument::token("km", "KM"),
                                    Argument::token("ft", "FT"),
                                    Argument::token("mi", "MI"),
                                ]),
                            ),
                        ]),
                    ),
                    Argument::new(
                        "box",
                        ArgumentKind::Block(&[
                            Argument::new("width", ArgumentKind::Double).with_token("BYBOX"),
                            Argument::new("height", ArgumentKind::Double),
                            Argument::new(
                                "unit",
                                ArgumentKind::OneOf(&[
                                    Argument::token("m", "M"),
                                    Argument::token("km", "KM"),
                                    Argument::token("ft", "FT"),
                                    Argument::token("mi", "MI"),
                                ]),
                            ),
                        ]),
                    ),
                ]),
            ),
            Argument::new(
                "order",
                ArgumentKind::OneOf(&[
                    Argument::token("asc", "ASC"),
                    Argument::token("desc", "DESC"),
                ]),
            )
            .optional(),
            Argument::new(
                "count",
                ArgumentKind::Block(&[
                    Argument::new("count", ArgumentKind::Integer).with_token("COUNT"),
                    Argument::token("any", "ANY").optional(),
                ]),
            )
            .optional(),
            Argument::token("withcoord", "WITHCOORD").optional(),
            Argument::token("withdist", "WITHDIST").optional(),
            Argument::token("withhash", "WITHHASH").optional(),
        ])
        .history(&[("7.0.0", "Added support for uppercase unit names.")]),
    Row::new("geosearchstore", Arity::AtLeast(8), geosearchstore)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::COPIES))
        .categories(Categories::GEO)
        .keys(&[
            KeySpec::first(&["OW", "update"]),
            KeySpec::range(&["RO", "access"], 2, 0, 1),
        ])
        .group(Group::Geo, "6.2.0")
        .summary("Stores the places in a circle or a box")
        .complexity("O(N+log(M))")
        .arguments(&[
            Argument::new("destination", ArgumentKind::Key(0)),
            Argument::new("source", ArgumentKind::Key(1)),
            Argument::new(
                "from",
                ArgumentKind::OneOf(&[
                    Argument::new("member", ArgumentKind::String).with_token("FROMMEMBER"),
                    Argument::new(
                        "longitude_latitude",
                        ArgumentKind::Block(&[
                            Argument::new("longitude", ArgumentKind::Double),
                            Argument::new("latitude", ArgumentKind::Double),
                        ]),
                    )
                    .with_token("FROMLONLAT"),
                ]),
            ),
            Argument::new(
                "by",
                ArgumentKind::OneOf(&[
                    Argument::new(
                        "circle",
                        ArgumentKind::Block(&[
                            Argument::new("radius", ArgumentKind::Double).with_token("BYRADIUS"),
                            Argument::new(
                                "unit",
                                ArgumentKind::OneOf(&[
                                    Argument::token("m", "M"),
                                    Argument::token("km", "KM"),
                                    Argument::token("ft", "FT"),
                                    Argument::token("mi", "MI"),
                                ]),
                            ),
                        ]),
                    ),
                    Argument::new(
                        "box",
                        ArgumentKind::Block(&[
                            Argument::new("width", ArgumentKind::Double).with_token("BYBOX"),
                            Argument::new("height", ArgumentKind::Double),
                            Argument::new(
                                "unit",
                                ArgumentKind::OneOf(&[
                                    Argument::token("m", "M"),
                                    Argument::token("km", "KM"),
                                    Argument::token("ft", "FT"),
                                    Argument::token("mi", "MI"),
                                ]),
                            ),
                        ]),
                    ),
                ]),
            ),
            Argument::new(
                "order",
                ArgumentKind::OneOf(&[
                    Argument::token("asc", "ASC"),
                    Argument::token("desc", "DESC"),
                ]),
            )
            .optional(),
            Argument::new(
                "count",
                ArgumentKind::Block(&[
                    Argument::new("count", ArgumentKind::Integer).with_token("COUNT"),
                    Argument::token("any", "ANY").optional(),
                ]),
            )
            .optional(),
            Argument::token("storedist", "STOREDIST").optional(),
        ])
        .history(&[("7.0.0", "Added support for uppercase unit names.")]),
];
