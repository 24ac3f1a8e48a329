"""An original put back where a person asks for it: `NAME.restore`, an empty file beside the name of what was spoilt, in an inbox.

The originals lie in a folder that is the daemon's alone, so that nobody spoils them; a file asks for one, because that works over a
share. The answer lies in the hold folder of the stage, beside what is there: nothing is replaced.
"""

import shutil
from pathlib import Path

from daemon.beneath import Beneath
from daemon.jobs.originals import kept_original
from daemon.layout import HOLD, KEEP
from daemon.names import id_of, stem_of
from daemon.spool.records import Publication
from daemon.spool.spool import Claim, Spool
from daemon.stages import STAGES, TIFFS

SIGN = ".restore"
STAGE = "diffuse"  # whose hold folder it is, where the inbox takes no latents


def is_sign(name: str) -> bool:
    """Whether a name asks for an original."""
    return name.lower().endswith(SIGN)


def restored(spool: Spool, claim: Claim) -> list[Path] | None:
    """Publish a copy of the original that a sign names, and archive the sign; None where no such original is kept."""
    kept = _asked_for(claim.names["principal"][: -len(SIGN)], spool.root / KEEP)
    if kept is None:
        return None
    stage = STAGES[claim.stage] if set(TIFFS) <= set(STAGES[claim.stage].extensions) else STAGES[STAGE]
    source = f"restored{kept.suffix}"
    spool.begin_attempt(claim)
    with Beneath(spool.root).plain(kept) as original, spool.create_output(claim, source) as copy:
        shutil.copyfileobj(original, copy)
    spool.commit(claim, [Publication(source, f"{HOLD}/{stage.folder}", kept.name)])
    return spool.finish(claim)


def _asked_for(name: str, keep: Path) -> Path | None:
    whole = name if id_of(name) else f"{name}{TIFFS[-1]}"  # NAME.ID.restore is understood, too
    identity = id_of(whole)
    return kept_original(keep, stem_of(whole), identity) if identity else None
