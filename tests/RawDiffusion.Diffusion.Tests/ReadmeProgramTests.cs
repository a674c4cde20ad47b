using System.Diagnostics;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Tests;

/// <summary>The README's C#, which is this project's entry point.</summary>
public sealed class ReadmeProgramTests
{
    private static string Repository => Path.Combine(AppContext.BaseDirectory, "repository");

    [Test]
    public void The_program_is_the_READMEs()
    {
        string[] blocks = File.ReadAllText(Path.Combine(Repository, "README.md")).ReplaceLineEndings("\n").Split("```csharp\n")[1..];
        string program = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "ReadmeProgram.cs")).ReplaceLineEndings("\n");
        Assert.That(blocks.Select(block => block[..block.IndexOf("```", StringComparison.Ordinal)]), Is.EqualTo(new[] { program }));
    }

    [Test]
    public void The_program_draws_picture_factors_and_reconstruction()
    {
        string folder = Directory.CreateTempSubdirectory("rawdiffusion-").FullName;
        try
        {
            Directory.CreateDirectory(Path.Combine(folder, "weights"));
            foreach (string name in (string[])["shapes.safetensors", "sample.png"])
                File.Copy(Path.Combine(Repository, name), Path.Combine(folder, "weights", name));
            using Process process = Process.Start(new ProcessStartInfo("dotnet", [typeof(ReadmeProgramTests).Assembly.Location])
            {
                WorkingDirectory = folder,
                RedirectStandardError = true,
            })!;
            string error = process.StandardError.ReadToEnd();
            process.WaitForExit();
            Assert.That(process.ExitCode, Is.Zero, error);
            Image drawn = ImageFile.Read(Path.Combine(folder, "decomposition.png"));
            // Five images of 32 pixels, two white columns between them.
            Assert.That((drawn.Width, drawn.Height), Is.EqualTo((5 * 34 - 2, 32)));
            float[] picture = Tile(0), reconstruction = Tile(4);
            Assert.That(picture.Zip(reconstruction, (a, b) => (a - b) * (a - b)).Average(), Is.LessThan(0.01));
            foreach (int factor in (int[])[1, 2, 3]) Assert.That(Tile(factor), Is.Not.EqualTo(picture));

            float[] Tile(int index) => ImageResize.Resize(drawn.Crop(34 * index, 0, 32, 32), 32, 32);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
