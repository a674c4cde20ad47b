using RawDiffusion.Cuda.Compilation;

namespace RawDiffusion.Cuda.Tests.Compilation;

/// <summary>Resources of the kernels in resources.cu against what NVIDIA's tools of CUDA 11.8 say about them.</summary>
public sealed class CubinInfoTests
{
    private static readonly int[] Architectures = [80, 86, 89, 90];

    private static readonly Dictionary<int, byte[]> Cubins = [];

    // ptxas -v -arch=sm_XX of the PTX that NVRTC 11.8 makes of resources.cu: registers, stack frame, smem. Barriers from
    // the number given to bar.sync, parameters from the signature.
    [TestCase(80, "simple", 10, 0, 0, 0, 20)]
    [TestCase(80, "shared_sum", 16, 0, 1056, 1, 32)]
    [TestCase(80, "tensor", 16, 0, 4096, 3, 24)]
    [TestCase(80, "spill", 64, 440, 0, 1, 16)]
    [TestCase(80, "local_array", 32, 128, 0, 0, 20)]
    [TestCase(86, "simple", 10, 0, 0, 0, 20)]
    [TestCase(86, "local_array", 40, 128, 0, 0, 20)]
    [TestCase(89, "tensor", 16, 0, 4096, 3, 24)]
    [TestCase(89, "spill", 64, 440, 0, 1, 16)]
    [TestCase(90, "simple", 12, 0, 0, 0, 20)]
    [TestCase(90, "shared_sum", 18, 0, 1056, 1, 32)]
    [TestCase(90, "tensor", 20, 0, 4096, 3, 24)]
    [TestCase(90, "spill", 64, 320, 0, 1, 16)]
    [TestCase(90, "local_array", 31, 128, 0, 0, 20)]
    public void Resources_are_those_that_ptxas_reports(
        int architecture, string kernel, int registers, int frame, int shared, int barriers, int parameters)
    {
        KernelResources found = Read(architecture)[kernel];
        Assert.That((found.Registers, found.FrameBytes, found.StaticSharedBytes, found.Barriers, found.ParameterBytes),
            Is.EqualTo((registers, frame, shared, barriers, parameters)));
        Assert.That(found.UsesLocalMemory, Is.EqualTo(frame > 0));
    }

    // Counted in what nvdisasm -c prints for the kernel.
    [TestCase(80, "BAR 2, BRA 1, DEPBAR 1, EXIT 1, HMMA 1, IADD3 1, IMAD 4, LDG 2, LDGDEPBAR 1, LDGSTS 1, LDSM 1, MOV 2, NOP 10, S2R 1, "
        + "SHF 1, STG 1, ULDC 1")]
    [TestCase(90, "BAR 2, BRA 1, DEPBAR 1, EXIT 1, HMMA 1, IADD3 3, IMAD 2, LDC 3, LDG 2, LDGDEPBAR 1, LDGSTS 1, LDS 3, LDSM 1, NOP 9, S2R "
    + "1, S2UR 1, SHF 1, STG 1, ULDC 3, UMOV 1, UPRMT 1")]
    public void Operations_are_those_that_nvdisasm_prints(int architecture, string expected)
    {
        KernelResources tensor = Read(architecture)["tensor"];
        Assert.That(string.Join(", ", tensor.Operations.Select(o => $"{o.Key} {o.Value}")), Is.EqualTo(expected));
        Assert.That(tensor.Operations.Values.Sum() * 16, Is.EqualTo(tensor.CodeBytes));
    }

    [TestCase(80, 107, 147)]
    [TestCase(86, 107, 147)]
    [TestCase(89, 107, 147)]
    [TestCase(90, 79, 112)]
    public void Spills_are_counted_as_nvdisasm_prints_them(int architecture, int stores, int loads)
    {
        KernelResources spill = Read(architecture)["spill"];
        Assert.That((spill.Count("STL"), spill.Count("LDL"), spill.Count("FFMA")), Is.EqualTo((stores, loads, 192)));
    }

    [Test]
    public void No_operation_of_the_test_kernels_is_unknown([ValueSource(nameof(Architectures))] int architecture) =>
        Assert.That(Read(architecture).Kernels.SelectMany(k => k.Operations.Keys), Has.None.StartsWith("0x"));

    [Test]
    public void The_architecture_is_in_the_file([ValueSource(nameof(Architectures))] int architecture) =>
        Assert.That(Read(architecture).ComputeCapability, Is.EqualTo(architecture));

    [Test]
    public void A_kernel_that_is_not_there_is_an_error_that_names_those_that_are()
    {
        CubinInfo cubin = Read(80);
        Assert.That(() => cubin["complex"], Throws.ArgumentException.With.Message.Contains("complex").And.Message.Contains("shared_sum"));
    }

    [Test]
    public void What_is_no_machine_code_is_refused()
    {
        Assert.That(() => new CubinInfo([]), Throws.TypeOf<InvalidDataException>());
        Assert.That(() => new CubinInfo(".version 7.8\n.target sm_80"u8), Throws.TypeOf<InvalidDataException>());
    }

    [Test]
    public void A_truncated_file_is_refused_at_every_length()
    {
        byte[] cubin = Cubin(80);
        int sectionsEnd = (int)BitConverter.ToUInt64(cubin, 40) + 64 * BitConverter.ToUInt16(cubin, 60); // what follows is for the loader
        for (int length = 0; length < sectionsEnd; length += 61)
            Assert.That(() => new CubinInfo(cubin.AsSpan(0, length)), Throws.TypeOf<InvalidDataException>(), $"{length} bytes");
    }

    [Test]
    public void A_damaged_file_is_read_or_refused_and_nothing_else()
    {
        byte[] original = Cubin(80);
        var random = new Random(1);
        int refused = 0;
        for (int round = 0; round < 3000; round++)
        {
            byte[] damaged = [.. original];
            // Headers, tables and attributes are what leads the reader about: half of the damage is done there.
            int sectionTable = (int)BitConverter.ToUInt64(original, 40);
            for (int i = 0; i < 4; i++)
            {
                int at = i < 2 ? random.Next(damaged.Length) : sectionTable + random.Next(damaged.Length - sectionTable);
                damaged[at] = (byte)random.Next(256);
            }
            try
            {
                _ = new CubinInfo(damaged);
            }
            catch (InvalidDataException)
            {
                refused++;
            }
        }
        Assert.That(refused, Is.GreaterThan(100));
    }

    private static CubinInfo Read(int architecture) => new(Cubin(architecture));

    private static byte[] Cubin(int architecture)
    {
        if (Compiler.Nvrtc.Version != "11.8")
            Assert.Ignore($"the expected numbers are those of NVRTC 11.8, found {Compiler.Nvrtc.Version}");
        lock (Cubins)
        {
            if (Cubins.TryGetValue(architecture, out byte[]? cubin)) return cubin;
            using var reader = new StreamReader(typeof(CubinInfoTests).Assembly.GetManifestResourceStream("resources.cu")!);
            cubin = Compiler.Nvrtc.Compile(reader.ReadToEnd(), "resources.cu", [], $"sm_{architecture}", ["-std=c++17"], out string log);
            Assert.That(cubin, Is.Not.Null, log);
            return Cubins[architecture] = cubin!;
        }
    }
}
