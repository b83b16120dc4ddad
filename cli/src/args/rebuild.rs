//! Owns the arguments by which packages are built again and compared.

use std::ffi::OsStr;
use std::path::PathBuf;

use builder::vary::{Axis, Variation};
use clap::builder::{EnumValueParser, PossibleValue, StyledStr, TypedValueParser};
use clap::error::{ContextKind, ContextValue, Error};
use clap::{Arg, Args, Command, ValueEnum};

/// How packages are built again.
#[derive(Debug, Clone, Default, Args)]
pub struct Rebuild {
    /// Build again what the store holds, aside, and compare bit for bit
    #[arg(long)]
    pub rebuild: bool,
    /// With --rebuild, vary these around the builds [without AXES: all]
    #[arg(
        long,
        value_name = "AXES",
        requires = "rebuild",
        num_args = 0..=1,
        default_missing_value = "all",
        value_delimiter = ',',
        value_parser = AxesParser
    )]
    pub vary: Vec<Axes>,
    /// With --rebuild, write what is found about each package that differs to this folder: <ID>.json, and <ID>.html
    /// by `diffoscope` where that is installed
    #[arg(long, value_name = "DIR", requires = "rebuild")]
    pub report: Option<PathBuf>,
}

impl Rebuild {
    /// What is to be varied.
    pub fn varied(&self) -> Variation {
        let axes = self.vary.iter().flat_map(|axes| match axes {
            Axes::All => Variation::all().axes().collect(),
            Axes::One(axis) => vec![*axis],
        });
        axes.collect()
    }
}

/// One word of `--vary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axes {
    /// All of them.
    All,
    /// This one.
    One(Axis),
}

impl Axes {
    const EACH: [Self; Axis::ALL.len() + 1] = {
        let mut each = [Self::All; Axis::ALL.len() + 1];
        let mut index = 0;
        while index < Axis::ALL.len() {
            each[index + 1] = Self::One(Axis::ALL[index]);
            index += 1;
        }
        each
    };
}

impl ValueEnum for Axes {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::EACH
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, meaning) = match self {
            Self::All => ("all", "all of them together"),
            Self::One(axis) => (axis.name(), axis.meaning()),
        };
        Some(PossibleValue::new(name).help(meaning))
    }
}

/// Reads one word of `--vary`, which may be meant as the name of a package.
#[derive(Clone, Copy)]
struct AxesParser;

impl TypedValueParser for AxesParser {
    type Value = Axes;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<Axes, Error> {
        let parsed = EnumValueParser::new().parse_ref(command, argument, value);
        parsed.map_err(|mut error| {
            let hint = StyledStr::from("the names of packages go before `--vary`");
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint]));
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = Axes::value_variants().iter();
        Some(Box::new(values.filter_map(ValueEnum::to_possible_value)))
    }
}
