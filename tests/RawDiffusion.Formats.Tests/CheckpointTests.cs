using System.Numerics;
using System.Security.Cryptography;
using System.Text.Json;
using RawDiffusion.Formats.PyTorch;
using static RawDiffusion.Formats.Tests.PickleBuilder;

namespace RawDiffusion.Formats.Tests;

public sealed class CheckpointTests
{
    [TestCase("quirks.pt")]
    [TestCase("quirks_legacy.pt")]
    public void Odd_tensors_have_the_values_that_PyTorch_has(string name)
    {
        using TensorFile found = Checkpoint.Open(Files.Golden(name));
        using TensorFile expected = SafeTensors.Open(Files.Golden("quirks.safetensors"));
        Assert.That(found.Names, Is.EquivalentTo(expected.Names));
        foreach (string tensor in expected.Names)
        {
            Assert.That(found[tensor].Shape, Is.EqualTo(expected[tensor].Shape), tensor);
            Assert.That(found[tensor].ToDoubles(), Is.EqualTo(expected[tensor].ToDoubles()), tensor);
            Assert.That(found[tensor].ToSingles(), Is.EqualTo(expected[tensor].ToSingles()), tensor);
            bool widened = tensor is "f16" or "bf16";
            if (!widened) Assert.That(found[tensor].Type, Is.EqualTo(expected[tensor].Type), tensor);
        }
        Assert.That(found["f16"].Type, Is.EqualTo(TensorType.Float16));
        Assert.That(found["bf16"].Type, Is.EqualTo(TensorType.BFloat16));
        Assert.That(found.Notes, Is.EqualTo(new[] { "State dict found under 'state_dict'." }));
    }

    [TestCase("quirks.pt")]
    [TestCase("quirks_legacy.pt")]
    public void Plain_values_have_the_values_that_Python_has(string name)
    {
        using var archive = PyTorchArchive.Open(Files.Golden(name));
        var root = (OrderedDictionary<object, object?>)archive.Root!;
        Assert.That(root.Keys, Is.EqualTo(new[] { "state_dict", "epoch", "lr", "note", "tags", "args", "big", "neg" }));
        Assert.That(root["epoch"], Is.EqualTo(7L));
        Assert.That(root["lr"], Is.EqualTo(1e-3));
        Assert.That(root["note"], Is.Null);
        var tags = (List<object?>)root["tags"]!;
        Assert.That(tags, Has.Count.EqualTo(2));
        Assert.That(tags[0], Is.EqualTo("a"));
        Assert.That((object?[])tags[1]!, Is.EqualTo(new object[] { "b", 2L, 3.5, true }));
        var args = (OrderedDictionary<object, object?>)root["args"]!;
        Assert.That(args["emb_dim"], Is.EqualTo(64L));
        Assert.That(args["channel_mult"], Is.EqualTo("1,2"));
        Assert.That(root["big"], Is.EqualTo(BigInteger.Pow(2, 70)));
        Assert.That(root["neg"], Is.EqualTo(-12345678901L));
    }

    [Test]
    public void Zip_legacy_and_EMA_files_of_one_model_are_equal()
    {
        using TensorFile zip = Checkpoint.Open(Files.Golden("B.pt"));
        using TensorFile legacy = Checkpoint.Open(Files.Golden("B_legacy.pt"));
        using TensorFile ema = Checkpoint.Open(Files.Golden("B_ema.pt"));
        Assert.That(zip.Notes, Is.Empty);
        Assert.That(ema.Notes, Is.EqualTo(new[] { "EMA weights taken (step 140001); the online ones can be chosen instead." }));
        RequireEqual(legacy, zip);
        RequireEqual(ema, zip);
    }

    [Test]
    public void Online_weights_are_the_closed_form_ones()
    {
        using TensorFile online = Checkpoint.Open(Files.Golden("B_ema.pt"), WeightSelection.Online);
        using TensorFile plain = Checkpoint.Open(Files.Golden("B.pt"), WeightSelection.Online);
        Assert.That(online.Notes, Is.EqualTo(new[] { "Online weights taken (step 140001); the averaged ones can be chosen instead." }));
        Assert.That(online.Names, Is.EqualTo(plain.Names));
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string name in online.Names.Where(n => !n.EndsWith("num_batches_tracked")).Order(StringComparer.Ordinal))
            hash.AppendData(online[name].ToBytes());
        Assert.That(Convert.ToHexStringLower(hash.GetHashAndReset()),
            Is.EqualTo("1556d71bb5761c24ce0e01f2d0c63af526b59a104b94b83b326d5ca243d22aef"));
    }

    [Test]
    public void The_older_EMA_layout_is_read()
    {
        using TensorFile ema = Checkpoint.Open(Files.Golden("mini_ema_old_layout.pt"), WeightSelection.Ema);
        using TensorFile online = Checkpoint.Open(Files.Golden("mini_ema_old_layout.pt"), WeightSelection.Online);
        Assert.That(ema.Names, Has.Count.EqualTo(3));
        Assert.That(online.Names, Is.EqualTo(ema.Names));
        Assert.That(ema.Notes.Single(), Does.StartWith("EMA weights taken (step "));
        foreach (string name in ema.Names)
            Assert.That(online[name].ToDoubles(), Is.EqualTo(ema[name].ToDoubles().Select(v => 2 * v)), name);
    }

    [TestCase("A")]
    [TestCase("B")]
    public void State_dicts_have_the_entries_of_the_manifest_in_order(string config)
    {
        using TensorFile file = Checkpoint.Open(Files.Golden(config + ".pt"));
        using var manifest = JsonDocument.Parse(File.ReadAllBytes(Files.Golden("manifest.json")));
        JsonElement[] entries = [.. manifest.RootElement.GetProperty(config).EnumerateArray()];
        Assert.That(file.Names, Is.EqualTo(entries.Select(e => e.GetProperty("name").GetString())));
        foreach (JsonElement entry in entries)
        {
            Assert.That(file[entry.GetProperty("name").GetString()!].Shape,
                Is.EqualTo(entry.GetProperty("shape").EnumerateArray().Select(d => d.GetInt32())));
        }
    }

    [TestCase("A_f16.pt", TensorType.Float16)]
    [TestCase("A_bf16.pt", TensorType.BFloat16)]
    public void Low_precision_files_are_the_rounded_model(string name, TensorType type)
    {
        using TensorFile rounded = Checkpoint.Open(Files.Golden(name));
        using TensorFile exact = Checkpoint.Open(Files.Golden("A.pt"));
        Assert.That(rounded.Names, Is.EqualTo(exact.Names));
        foreach (string tensor in exact.Names)
        {
            bool counter = tensor.EndsWith("num_batches_tracked");
            Assert.That(rounded[tensor].Type, Is.EqualTo(counter ? TensorType.Int64 : type), tensor);
            float[] expected = [.. exact[tensor].ToSingles()
                .Select(v => counter ? v : type == TensorType.Float16 ? (float)(Half)v : Round16(v))];
            Assert.That(rounded[tensor].ToSingles(), Is.EqualTo(expected), tensor);
        }

        static float Round16(float v)
        {
            uint bits = BitConverter.SingleToUInt32Bits(v);
            return BitConverter.UInt32BitsToSingle((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000);
        }
    }

    [Test]
    public void Asking_for_EMA_where_there_is_none_names_what_is_there()
    {
        FileFormatException e = Assert.Throws<FileFormatException>(() => Checkpoint.Open(Files.Golden("A.pt"), WeightSelection.Ema))!;
        Assert.That(e.Message, Does.StartWith("A.pt: EMA weights were asked for").And.Contain("'time_embed.0.weight'"));
    }

    [TestCase("x.safetensors")]
    [TestCase("x.pt")]
    public void Prefixes_and_wrappers_are_removed_whatever_the_format(string name)
    {
        string path = Files.Temporary(name);
        Write(path, ("module.ema_model.module.w", 1), ("module.online_model.module.w", 2), ("module.step", 3), ("module.initted", 1));
        using (TensorFile ema = Checkpoint.Open(path))
        {
            Assert.That(ema.Names, Is.EqualTo(new[] { "w" }));
            Assert.That(ema["w"].ToSingles(), Is.EqualTo(new[] { 1f }));
            Assert.That(ema.Notes, Has.Some.Contains("EMA weights taken").And.Contains("(step 3); the online ones can be chosen instead."));
            Assert.That(ema.Notes, Has.Some.EqualTo("Prefix 'module.module.' of a wrapper removed."));
        }
        using (TensorFile online = Checkpoint.Open(path, WeightSelection.Online))
            Assert.That(online["w"].ToSingles(), Is.EqualTo(new[] { 2f }));

        Write(path, ("ema_model.w", 1));
        using (TensorFile ema = Checkpoint.Open(path))
            Assert.That(ema.Notes, Is.EqualTo(new[] { "EMA weights taken; the file has no others." }));
        Assert.That(
            Assert.Throws<FileFormatException>(() => Checkpoint.Open(path, WeightSelection.Online))!.Message,
            Does.Contain("only EMA weights in 'ema_model.'").And.Contain("'w'"));

        Write(path, ("module.w", 1), ("other", 2));
        using (TensorFile mixed = Checkpoint.Open(path)) Assert.That(mixed.Names, Is.EqualTo(new[] { "module.w", "other" }));

        static void Write(string path, params (string Name, float Value)[] tensors)
        {
            IEnumerable<KeyValuePair<string, Tensor>> named = tensors.Select(
                t => KeyValuePair.Create(t.Name, Tensor.FromSingles([1], [t.Value])));
            if (path.EndsWith(".pt")) PyTorchCheckpoint.Write(path, named);
            else SafeTensors.Write(path, named);
        }
    }

    [TestCase("model", "ema")]
    [TestCase("state_dict", "state_dict_ema")]
    [TestCase("model", "model_ema")]
    [TestCase("state_dict", "ema_state_dict")]
    [TestCase("model_state_dict", "EMACallback")]
    public void Averages_beside_the_weights_are_found(string weights, string averages)
    {
        string path = Files.Write(
            "both.pt", Zip(Pickle(Dict((weights, Dict(("_orig_mod.module.w", Floats("0")))), (averages, Dict(("module.w", Floats("1")))),
            ("rng", Floats("0")), ("optimizer", Dict(("state", Dict(("m", Floats("0")))))))), Storage("0", 1), Storage("1", 2)));
        Assert.That((First(path, WeightSelection.Auto), First(path, WeightSelection.Ema), First(path, WeightSelection.Online)),
            Is.EqualTo((2f, 2f, 1f)));
        using TensorFile file = Checkpoint.Open(path);
        Assert.That(file.Notes[0], Is.EqualTo($"EMA weights taken from '{averages}'; the online ones can be chosen instead."));
        Assert.That(file.PassedOver, Has.Some.Contains($"'{weights}' (weights").And.Some.Contains("'optimizer' (a dict of 1)"));
    }

    [TestCase("_orig_mod.w")]
    [TestCase("model.w")]
    [TestCase("module._orig_mod.model.w")]
    [TestCase("_fsdp_wrapped_module.w")]
    public void Prefixes_of_wrappers_are_removed_in_any_sequence(string name)
    {
        using TensorFile file = Checkpoint.Open(Files.Write("wrapped.pt", Zip(Pickle(Dict((name, Floats("0")))), Storage("0", 1))));
        Assert.That(file.Names, Is.EqualTo(new[] { "w" }));
    }

    [Test]
    public void An_averaged_model_and_averages_without_dots_are_found()
    {
        string averaged = Files.Write(
            "averaged.pt", Zip(Pickle(Dict(("n_averaged", Floats("0")), ("module.w", Floats("1")))), Storage("0", 3), Storage("1", 2)));
        Assert.That(First(averaged, WeightSelection.Ema), Is.EqualTo(2));
        string lit = Files.Write("lit.pt", Zip(Pickle(
            Dict(("state_dict", Dict(("model.net.a.w", Floats("0")), ("model_ema.decay", Floats("2")), ("model_ema.netaw", Floats("1")))))),
            Storage("0", 1), Storage("1", 2), Storage("2", 3)));
        using TensorFile file = Checkpoint.Open(lit);
        Assert.That(file.Names, Is.EqualTo(new[] { "net.a.w" }));
        Assert.That((First(lit, WeightSelection.Auto), First(lit, WeightSelection.Online)), Is.EqualTo((2f, 1f)));
    }

    [Test]
    public void Averages_in_a_list_without_names_are_told_of_and_not_taken()
    {
        string list = "](" + Floats("1") + "e";
        string path = Files.Write("shadow.pt", Zip(
            Pickle(Dict(("model", Dict(("w", Floats("0")))), ("ema", Dict(("shadow_params", list))))), Storage("0", 1), Storage("1", 2)));
        using TensorFile file = Checkpoint.Open(path);
        Assert.That(file["w"].ToSingles()[0], Is.EqualTo(1));
        Assert.That(file.Notes, Has.Some.EqualTo("Online weights taken; the EMA weights in 'ema/shadow_params' are a list without names."));
        Assert.That(
            Assert.Throws<FileFormatException>(() => Checkpoint.Open(path, WeightSelection.Ema))!.Message,
            Does.Contain("'ema/shadow_params' are a list without names").And.Contain("ema.copy_to(model.parameters())"));
        string alone = Files.Write("alone.pt", Zip(Pickle(Dict(("shadow_params", list))), Storage("1", 2)));
        Assert.That(() => Checkpoint.Open(alone), Throws.TypeOf<FileFormatException>().With.Message.Contains(
            "'shadow_params' (a list of 1)"));
    }

    [Test]
    public void Averages_of_the_ema_pytorch_package_are_found_beside_the_model()
    {
        // lucidrains' trainers: the network is in a diffusion process, which has buffers.
        (string, string)[] process = [("model.a.w", Floats("0")), ("model.b.w", Floats("0")), ("betas", Floats("0"))];
        string path = Files.Write("lucidrains.pt", Zip(
            Pickle(Dict(
                ("step", "K\u0001"),
                ("model", Dict(process)),
                ("ema", Dict(
                [
                    ("initted", Floats("1")), ("step", PickleBuilder.Tensor("2", 1, 0, [1], [1])),
                    .. process.Select(t => ("online_model." + t.Item1, t.Item2)),
                    .. process.Select(t => ("ema_model." + t.Item1, Floats("1"))),
                ])))),
            Storage("0", 1), Storage("1", 2), ("any root/data/2", BitConverter.GetBytes(70f))));
        using TensorFile file = Checkpoint.Open(path), online = Checkpoint.Open(path, WeightSelection.Online);
        Assert.That(file.Names, Is.EqualTo(new[] { "a.w", "b.w" }));
        Assert.That((First(path, WeightSelection.Auto), First(path, WeightSelection.Ema), First(path, WeightSelection.Online)),
            Is.EqualTo((2f, 2f, 1f)));
        Assert.That(file.Notes[0], Is.EqualTo("EMA weights taken from 'ema/ema_model.' (step 70); the online ones can be chosen instead."));
        Assert.That(online.Notes[0], Is.EqualTo("Online weights taken from 'model'; the averaged ones can be chosen instead."));
        Assert.That(file.PassedOver, Has.Some.EqualTo("'ema/ema_model.betas' (a tensor)"));
        string alone = Files.Temporary("alone.safetensors");
        SafeTensors.Write(alone, new[] { "ema_model.a.w", "online_model.a.w", "adam.first.a.w", "adam.second.a.w" }.Select(
            (n, i) => KeyValuePair.Create(n, Tensor.FromSingles([2], [i, i]))));
        using TensorFile ours = Checkpoint.Open(alone, WeightSelection.Online);
        Assert.That((ours.Names.Single(), ours["a.w"].ToSingles()[0]), Is.EqualTo(("a.w", 1f)));
        Assert.That(ours.PassedOver, Is.EqualTo(new[] { "'adam.' (2 tensors)", "'ema_model.' (EMA weights, 1 tensors)" }));
    }

    [Test]
    public void Averages_that_Lightning_puts_in_the_place_of_the_weights_are_averages()
    {
        string path = Files.Write("lightning.ckpt", Zip(
            Pickle(Dict(
                ("state_dict", Dict(("model.w", Floats("1")))),
                ("current_model_state", Dict(("model.w", Floats("0")))),
                ("averaging_state", Dict(("n_averaged", PickleBuilder.Tensor("0", 2, 0, [], [])))))),
            Storage("0", 1), Storage("1", 2)));
        Assert.That((First(path, WeightSelection.Auto), First(path, WeightSelection.Ema), First(path, WeightSelection.Online)),
            Is.EqualTo((2f, 2f, 1f)));
    }

    [Test]
    public void Several_sets_of_weights_are_an_error_that_lists_them()
    {
        string path = Files.Write("several.pt", Zip(Pickle(
            Dict(("ema_fast", Dict(("w", Floats("0")))), ("ema_slow", Dict(("w", Floats("1")))))), Storage("0", 1), Storage("1", 2)));
        Assert.That(() => Checkpoint.Open(path), Throws.TypeOf<FileFormatException>().With.Message.Contains(
            "'ema_fast' with 1 tensors, 'ema_slow'"));
    }

    [Test]
    public void Objects_and_tensors_of_other_types_beside_the_weights_are_passed_over()
    {
        string path = Files.Write("objects.pt", Zip(Pickle(Dict(
            ("state_dict", Dict(("w", Floats("0")), ("bn.running_var", Floats("0")),
                ("c", PickleBuilder.Tensor("1", 1, 0, [1], [1], "ComplexFloatStorage")))),
            ("args", "cargparse\nNamespace\n)\u0081" + Dict(("lr", "N")) + "b"),
            ("counts", "ccollections\nCounter\n" + PickleBuilder.Tuple("}") + "R"),
            ("run", "cos\nsystem\n" + PickleBuilder.Tuple(PickleBuilder.Text("false")) + "R"),
            ("lr", "cnumpy.core.multiarray\nscalar\n" + PickleBuilder.Tuple(
            "cnumpy\ndtype\n" + PickleBuilder.Tuple(PickleBuilder.Text("f8")) + "R" + PickleBuilder.Tuple("N") + "b", "N") + "R"))),
            Storage("0", 1), ("any root/data/1", new byte[8])));
        using TensorFile file = Checkpoint.Open(path);
        Assert.That(file.Names, Is.EqualTo(new[] { "w", "bn.running_var", "bn.num_batches_tracked" }));
        Assert.That(file.PassedOver, Is.EquivalentTo(new[]
        {
            "'state_dict/c' (a tensor of torch.ComplexFloatStorage)", "'args' (argparse.Namespace)", "'counts' (collections.Counter)",
                "'run' (os.system)", "'lr' (numpy.core.multiarray.scalar)",
        }));
    }

    [Test]
    public void Metadata_of_a_PyTorch_file_is_given_back()
    {
        string path = Files.Temporary("meta.pt");
        PyTorchCheckpoint.Write(path, [KeyValuePair.Create("w", Tensor.FromSingles([1], [1]))],
            new Dictionary<string, string> { ["a"] = "é" });
        using TensorFile file = Checkpoint.Open(path);
        Assert.That(file.Metadata, Is.EqualTo(new Dictionary<string, string> { ["a"] = "é" }));
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(2)]
    [TestCase(3)]
    [TestCase(4)]
    [TestCase(5)]
    [TestCase(6)]
    [TestCase(7)]
    public void Readers_take_time_and_memory_in_proportion_to_the_file(int kind)
    {
        int shorter = kind < 3 ? 1 << 17 : 1 << 20;
        (double small, double large) = (Measure(shorter), Measure(4 * shorter));
        Assert.That(large, Is.LessThan(8 * small + 0.2));

        double Measure(int length)
        {
            byte[] content = kind switch
            {
                0 => Zip(Pickle("}\u008b" + PickleBuilder.Bytes4(length) + new string('\u0001', length) + "Ns")),
                1 => Zip(Pickle(new string(']', length))),
                2 => Zip(Pickle(Dict((string.Concat(Enumerable.Repeat("module.", length / 7)), Floats("0")))), Storage("0", 1)),
                3 => Header(length, i => $"{i}"),
                4 => Header(length, i => $"{new string('n', 900)}{i}"),
                5 => Header(length, i => $"{string.Concat(Enumerable.Repeat("module.", 130))}{i}"),
                6 => Header(length, i => $"ema{i}.input_blocks.1.0.in_layers.2.weight"),
                _ => Header(length, i => $"{i}", "F8_E5M2"),
            };
            string path = Files.Write("long", content);
            double best = double.MaxValue;
            for (int i = 0; i < 3; i++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                // Of the processor: what else the machine does is not counted.
                TimeSpan start = Environment.CpuUsage.TotalTime;
                try
                {
                    Checkpoint.Open(path).Dispose();
                }
                catch (FileFormatException)
                {
                }
                best = Math.Min(best, (Environment.CpuUsage.TotalTime - start).TotalSeconds);
                Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan((24 << 20) + 33L * content.Length));
            }
            return best;
        }

        static byte[] Header(int length, Func<int, string> name, string type = "U8")
        {
            IEnumerable<string> entries = Enumerable.Range(0, length / (50 + name(0).Length))
                .Select(i => $"\"{name(i)}\":{{\"dtype\":\"{type}\",\"shape\":[0],\"data_offsets\":[0,0]}}");
            string header = "{" + string.Join(",", entries) + "}";
            return [.. BitConverter.GetBytes((long)header.Length), .. System.Text.Encoding.ASCII.GetBytes(header)];
        }
    }

    private static string Floats(string key) => PickleBuilder.Tensor(key, 2, 0, [2], [1]);

    private static (string, byte[]) Storage(string key, float value) =>
        ($"any root/data/{key}", [.. BitConverter.GetBytes(value), .. BitConverter.GetBytes(value)]);

    private static float First(string path, WeightSelection selection)
    {
        using TensorFile file = Checkpoint.Open(path, selection);
        return file[file.Names[0]].ToSingles()[0];
    }

    internal static void RequireEqual(TensorFile found, TensorFile expected)
    {
        Assert.That(found.Names, Is.EqualTo(expected.Names));
        foreach (string name in expected.Names)
        {
            Assert.That(found[name].Type, Is.EqualTo(expected[name].Type), name);
            Assert.That(found[name].Shape, Is.EqualTo(expected[name].Shape), name);
            Assert.That(found[name].ToBytes().AsSpan().SequenceEqual(expected[name].ToBytes()), name);
        }
    }
}
