//! The rows of ACL and its subcommands.

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group};
use crate::commands::row::{Handler, Row};

const PLAIN: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const ADMIN: Flags = PLAIN.union(Flags::ADMIN);

const USERS: &str = "O(N). Where N is the number of configured users.";

pub(in crate::commands) static COMMANDS: &[Row] =
    &[Row::new("acl", Arity::AtLeast(2), super::help)
        .group(Group::Server, "6.0.0")
        .summary("Commands on users and what they may do.")
        .complexity("Depends on subcommand.")
        .subcommands(SUBCOMMANDS)];

const fn sub(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    summary: &'static str,
    complexity: &'static str,
    arguments: &'static [Argument],
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(flags)
        .group(Group::Server, "6.0.0")
        .summary(summary)
        .complexity(complexity)
        .arguments(arguments)
}

const USERNAME: Argument = Argument::new("username", ArgumentKind::String);

static SUBCOMMANDS: &[Row] = &[
    sub(
        "cat",
        Arity::AtLeast(2),
        PLAIN,
        "Lists the categories of commands, or the commands of one.",
        "O(1) since the categories and commands are a fixed set.",
        &[Argument::new("categoryname", ArgumentKind::String).optional()],
        super::cat,
    ),
    sub(
        "deluser",
        Arity::AtLeast(3),
        ADMIN,
        "Removes users and closes their connections.",
        "O(1) amortized time considering the typical user.",
        &[USERNAME.multiple()],
        super::deluser,
    ).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    sub(
            "dryrun",
            Arity::AtLeast(4),
            ADMIN,
            "Tells whether a user may make a call, without running it.",
            "O(1).",
            &[
                USERNAME,
                Argument::new("command", ArgumentKind::String),
                Argument::new("arg", ArgumentKind::String)
                    .optional()
                    .multiple(),
            ],
            super::dryrun,
        ).since("7.0.0"),
    sub(
        "genpass",
        Arity::AtLeast(2),
        PLAIN,
        "Makes a random password.",
        "O(1)",
        &[Argument::new("bits", ArgumentKind::Integer).optional()],
        super::genpass,
    ),
    sub(
        "getuser",
        Arity::Exactly(3),
        ADMIN,
        "Shows a user's rules.",
        "O(N). Where N is the number of password, command and pattern rules that the user has.",
        &[USERNAME],
        super::getuser,
    ).history(&[("6.2.0", "Added Pub/Sub channel patterns."), ("7.0.0", "Added selectors and changed the format of key and channel patterns from a list to their rule representation.")]),
    sub(
        "help",
        Arity::Exactly(2),
        Flags::LOADING.union(Flags::STALE),
        "Lists the subcommands.",
        "O(1)",
        &[],
        super::help,
    ),
    sub(
        "list",
        Arity::Exactly(2),
        ADMIN,
        "Shows all users as lines of a configuration file.",
        USERS,
        &[],
        super::list,
    ),
    sub(
        "load",
        Arity::Exactly(2),
        ADMIN,
        "Replaces all users by those of the ACL file.",
        USERS,
        &[],
        super::load,
    ),
    sub(
        "log",
        Arity::AtLeast(2),
        ADMIN,
        "Shows what was denied lately, or forgets it.",
        "O(N) with N being the number of entries shown.",
        &[Argument::new(
            "operation",
            ArgumentKind::OneOf(&[
                Argument::new("count", ArgumentKind::Integer),
                Argument::token("reset", "RESET"),
            ]),
        )
        .optional()],
        super::log::log,
    ).history(&[("7.2.0", "Added entry ID, timestamp created, and timestamp last updated.")]),
    sub(
        "save",
        Arity::Exactly(2),
        ADMIN,
        "Writes all users into the ACL file.",
        USERS,
        &[],
        super::save,
    ).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    sub(
        "setuser",
        Arity::AtLeast(3),
        ADMIN,
        "Makes a user or changes its rules.",
        "O(N). Where N is the number of rules provided.",
        &[
            USERNAME,
            Argument::new("rule", ArgumentKind::String)
                .optional()
                .multiple(),
        ],
        super::setuser,
    ).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).history(&[("6.2.0", "Added Pub/Sub channel patterns."), ("7.0.0", "Added selectors and key based permissions.")]),
    sub(
        "users",
        Arity::Exactly(2),
        ADMIN,
        "Lists the names of all users.",
        USERS,
        &[],
        super::users,
    ),
    sub(
        "whoami",
        Arity::Exactly(2),
        PLAIN,
        "Shows the user that this connection acts as.",
        "O(1)",
        &[],
        super::whoami,
    ),
];
