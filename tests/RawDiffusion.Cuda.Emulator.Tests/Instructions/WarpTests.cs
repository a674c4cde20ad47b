using System.Numerics;

namespace RawDiffusion.Cuda.Emulator.Tests.Instructions;

public class WarpTests
{
    private static readonly uint[] Lanes = Ptx.Repeat(32, i => (uint)i);

    private static uint[] Run(string body) => EmulatedGpu.Apply<uint, uint>(body, Lanes);

    [Test]
    public void Shuffles_stay_in_their_segment_and_say_whether_they_did()
    {
        Assert.That(Run("shfl.sync.bfly.b32 %d, %a, 5, 31, -1;"), Is.EqualTo(Ptx.Repeat(32, i => (uint)(i ^ 5))));
        Assert.That(Run("shfl.sync.up.b32 %d, %a, 3, 0, -1;"), Is.EqualTo(Ptx.Repeat(32, i => (uint)(i < 3 ? i : i - 3))));
        Assert.That(Run("shfl.sync.down.b32 %d, %a, 3, 31, -1;"), Is.EqualTo(Ptx.Repeat(32, i => (uint)(i > 28 ? i : i + 3))));

        // Width 8: the segment mask is 0x18, as __shfl_sync(.., 8) has it.
        Assert.That(Run("shfl.sync.idx.b32 %d, %a, 2, 0x181F, -1;"), Is.EqualTo(Ptx.Repeat(32, i => (uint)((i & ~7) + 2))));
        Assert.That(Run("shfl.sync.down.b32 %d, %a, 3, 0x181F, -1;"), Is.EqualTo(Ptx.Repeat(32, i => (uint)((i & 7) + 3 > 7 ? i : i + 3))));
        Assert.That(Run("shfl.sync.up.b32 %d|%p, %a, 3, 0, -1; selp.b32 %d, 1, 0, %p;"), Is.EqualTo(Ptx.Repeat(32, i => i < 3 ? 0u : 1u)));
    }

    [Test]
    public void Votes_and_matches_see_all_lanes()
    {
        Assert.That(Run("setp.lt.u32 %p, %a, 5; vote.sync.ballot.b32 %d, %p, -1;"), Has.All.EqualTo(0x1Fu));
        Assert.That(Run("setp.lt.u32 %p, %a, 5; vote.sync.any.pred %q, %p, -1; selp.b32 %d, 1, 0, %q;"), Has.All.EqualTo(1u));
        Assert.That(Run("setp.lt.u32 %p, %a, 5; vote.sync.all.pred %q, !%p, -1; selp.b32 %d, 1, 0, %q;"), Has.All.EqualTo(0u));
        Assert.That(Run("and.b32 %b, %a, 3; match.any.sync.b32 %d, %b, -1;"), Is.EqualTo(Ptx.Repeat(32, i => 0x11111111u << (i & 3))));
        Assert.That(Run("match.all.sync.b32 %d|%p, %a, -1; selp.b32 %d, 1, 0, %p;"), Has.All.EqualTo(0u));
        Assert.That(Run("redux.sync.add.s32 %d, %a, -1;"), Has.All.EqualTo(496u));
        Assert.That(Run("redux.sync.max.u32 %d, %a, -1;"), Has.All.EqualTo(31u));
    }

    [Test]
    public void Lanes_leave_a_loop_one_by_one_and_meet_after_it()
    {
        uint[] found = Run("""
            mov.u32 %b, 0;
            loop: add.u32 %d, %d, %a; add.u32 %b, %b, 1; setp.lt.u32 %p, %b, %a; @%p bra loop;
            activemask.b32 %c; popc.b32 %c, %c; shl.b32 %c, %c, 16; add.u32 %d, %d, %c;
            """);

        Assert.That(found, Is.EqualTo(Ptx.Repeat(32, i => (32u << 16) + (uint)(i * Math.Max(1, i)))));
    }

    [Test]
    public void Lanes_meet_at_a_join_that_stands_before_one_of_its_branches()
    {
        uint[] found = Run("""
            setp.lt.u32 %p, %a, 7; @%p bra aside;
            join: activemask.b32 %d; bra end;
            aside: mov.u32 %b, 1; bra join;
            end:
            """);

        Assert.That(found.Select(BitOperations.PopCount), Has.All.EqualTo(32));
    }

    [Test]
    public void A_guard_keeps_what_other_lanes_have() =>
        Assert.That(Run("mov.u32 %d, 9; setp.ge.u32 %p, %a, 30; @%p mov.u32 %d, 1; @!%p add.u32 %d, %d, %a;"),
        Is.EqualTo(Ptx.Repeat(32, i => i >= 30 ? 1u : (uint)i + 9)));

    [Test]
    public void Atomics_return_what_was_there_in_lane_order() =>
        Assert.That(Run("""
            .shared .align 4 .b32 counter; mov.u64 %lb, counter; mov.u32 %b, 0; setp.eq.u32 %p, %a, 0;
            @%p st.shared.u32 [%lb], 100; bar.sync 0;
            atom.shared.add.u32 %d, [%lb], 2;
            """), Is.EqualTo(Ptx.Repeat(32, i => 100u + (2 * (uint)i))));

    [Test]
    public void Ldmatrix_gives_rows_and_transposed_columns()
    {
        const string Fill = """
            .shared .align 16 .b8 tile[128]; mov.u64 %lb, tile; shl.b32 %b, %a, 2; cvt.u64.u32 %lc, %b; add.s64 %lc, %lb, %lc;
            shl.b32 %c, %a, 1; add.u32 %b, %c, 1; shl.b32 %b, %b, 16; or.b32 %c, %c, %b; st.shared.b32 [%lc], %c; bar.sync 0;
            and.b32 %b, %a, 7; shl.b32 %b, %b, 4; cvt.u64.u32 %lc, %b; add.s64 %lc, %lb, %lc;
            """;

        // Element [row][column] of the tile is 8 row + column.
        Assert.That(Run(Fill + "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%d}, [%lc];"),
            Is.EqualTo(Ptx.Repeat(32, i => (uint)(2 * i) | ((uint)((2 * i) + 1) << 16))));
        Assert.That(Run(Fill + "ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%d}, [%lc];"), Is.EqualTo(Ptx.Repeat(32, i =>
        {
            int row = 2 * (i & 3), column = i >> 2;
            return (uint)((8 * row) + column) | ((uint)((8 * (row + 1)) + column) << 16);
        })));
    }

    [Test]
    public void An_asynchronous_copy_fills_what_its_source_is_too_short_for_with_zeros()
    {
        uint[] found = Run("""
            .shared .align 16 .b8 s[256]; mov.u64 %lb, s; mul.wide.u32 %lc, %a, 8; add.s64 %lb, %lb, %lc;
            ld.param.u64 %la, [pa]; and.b32 %b, %a, 4; setp.eq.u32 %p, %b, 4; selp.b32 %c, 4, 8, %p; and.b32 %b, %a, 15;
            mul.wide.u32 %lc, %b, 8; add.s64 %la, %la, %lc;
            cp.async.ca.shared.global [%lb], [%la], 8, %c; cp.async.wait_all; ld.shared.v2.u32 {%b, %d}, [%lb];
            """);

        Assert.That(found, Is.EqualTo(Ptx.Repeat(32, i => (i & 4) != 0 ? 0u : (uint)((2 * (i & 15)) + 1))));
    }
}
