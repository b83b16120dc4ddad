//! Owns which waves make an order: each holds those before it, and begins no earlier.

use super::Wave;

/// Why waves, as somebody gives them, make no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disorder {
    /// A share that does not hold the one before.
    #[error("the wave {wave} holds fewer hosts than {before} before it, which may take the release already")]
    Share {
        /// The wave.
        wave: Wave,
        /// The one before.
        before: Wave,
    },
    /// A moment before that of the one before.
    #[error("the wave {wave} begins before {before}, which it follows")]
    Time {
        /// The wave.
        wave: Wave,
        /// The one before.
        before: Wave,
    },
}

/// Checks that `waves` are an order.
///
/// # Errors
/// The first that does not follow the one before it.
pub fn check(waves: &[Wave]) -> Result<(), Disorder> {
    for (before, wave) in waves.iter().zip(waves.iter().skip(1)) {
        let (before, wave) = (*before, *wave);
        if wave.parts_per_million < before.parts_per_million {
            return Err(Disorder::Share { wave, before });
        }
        if wave.begins < before.begins {
            return Err(Disorder::Time { wave, before });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_times_never_fall() {
        let check = |waves: &[&str]| {
            let waves: Vec<Wave> = waves.iter().map(|wave| wave.parse().unwrap()).collect();
            check(&waves)
        };
        let [early, late] = ["2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"];
        let wave = |share: &str, time: &str| format!("{share}%@{time}");
        let [ten, fifty] = ["10", "50"].map(|share| [early, late].map(|time| wave(share, time)));
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[&ten[0], &ten[0], &fifty[0], &fifty[1]]), Ok(()));
        assert!(matches!(
            check(&[&fifty[0], &ten[1]]),
            Err(Disorder::Share { .. })
        ));
        assert!(matches!(check(&[&ten[1], &fifty[0]]), Err(Disorder::Time { .. })));
    }
}
