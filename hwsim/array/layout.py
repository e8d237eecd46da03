"""Names of the columns in the engine's arrays."""

# Kinds of region that a tile takes.
NOTHING, SLAB, WHOLE = range(3)

# `Machine.loop`
BOUND, INDEX = range(2)

# `Machine.node`: first what the plan says …
(
    WORDS,  # of a tile
    LOOPS,  # temporal loops outside
    INSTANCES,
    PARENT,
    BASE,  # where the node's buffers start
    PLACE,  # where its rows of `Machine.place` start
    FAN,  # instances on one innermost mesh
    COLUMNS,
    ROWS,
    MULTICAST,
    LINKED,  # mesh neighbours hand words on
    LEADERS,  # instances that fetch for their group
    SLIDINGS,  # ranks in which instances are apart
    LEVEL,
    HOLDS,
    REFETCH,
    FIRST_READ,
    IS_RESULT,
    # … then how things stand: the tile's control,
    HAS_USUAL,
    KIND,
    BEFORE_KIND,
    KNOWN,  # moves whose handovers are known
    # counters over the run, all instances together,
    READS,
    FILLS,
    UPDATES,
    LINKS,
    VISITS,  # words of a result that were asked for, there or not
    # and words of the present step: read from the parent, taken, handed on (operands) or sent up (results).
    MOVED,
) = range(28)
NODE_COLUMNS = MOVED + 3

# `Machine.rank`
EXTENT, STRIDE, SLIDING, REACH, ORIGIN, TURN, USUAL, LOW, SIZE, BEFORE_LOW, BEFORE_SIZE, LEAVES = range(12)
RANK_COLUMNS = 12

# `Machine.place`: where the parent's buffer starts, who fetches for the group, whether the instance leads in the outer
# meshes and in the innermost one, where its words lie in the parent's buffer while the ring does not turn, then its
# offset per rank.
ABOVE, LEADER, OUTER_LEADS, LOCAL_LEADS, STRAIGHT, OFFSETS = range(6)

# `Machine.link`: from whom, who fetches for its group, to whom, who sends for its group.
SOURCE, LEADS, TO, SENDS = range(4)
