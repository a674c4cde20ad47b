using System.Globalization;
using System.Text.Json;
using RawDiffusion.Diffusion.Evaluation;

namespace RawDiffusion.Cli.Output;

/// <summary>What <c>evaluate</c> found, for people and scripts.</summary>
internal static class EvaluationReport
{
    /// <summary>One JSON object; a number that there is none of, or that is infinite, is null.</summary>
    public static void WriteJson(TextWriter to, RunSummary summary, SetEvaluation found, IReadOnlyList<string> written) =>
        JsonReport.Write(to, json =>
    {
        DecompositionScores scores = found.Scores;
        summary.Write(json);
        json.WriteString("data", found.Name);
        json.WriteNumber("left_out", found.LeftOut);
        json.PassedOver(found.Set);
        json.WriteStartObject("reconstruction");
        json.Number("mse", scores.Mse);
        json.Number("psnr", scores.Psnr);
        json.Number("ssim", scores.Ssim);
        if (found.Lpips is { } lpips) json.Number("lpips", lpips.Average());
        if (found.Fid is double fid) json.Number("fid", fid);
        if (found.Kid is { } kid)
        {
            json.Number("kid", kid.Mean);
            json.Number("kid_deviation", kid.Deviation);
        }
        if (FewImages(found) is { } warning) json.WriteString("fid_kid_warning", warning);
        json.WriteEndObject();
        if (found.KnowsObjects)
        {
            json.WriteStartObject("objects");
            json.WriteNumber("mask_threshold", found.MaskThreshold);
            json.WriteNumber("count", scores.Objects);
            json.Number("found", scores.Found);
            json.Number("mean_iou", scores.MeanIoU);
            json.Number("ari_foreground", scores.AriForeground);
            json.Number("ari", scores.AriAll);
            json.WriteEndObject();
            json.WriteStartObject("attributes");
            json.Strings("names", found.AttributeNames);
            json.WriteNumber("samples", scores.AttributeSamples);
            json.Number("mig", scores.Mig);
            json.Number("mcc", scores.Mcc);
            json.WriteEndObject();
        }
        json.WriteStartArray("by_image");
        for (int i = 0; i < found.Count; i++) WriteImage(json, found, i);
        json.WriteEndArray();
        if (written.Count > 0) json.Strings("files", written);
    });

    /// <summary>A table of what was measured, then the files.</summary>
    public static void WriteTable(TextWriter to, RunSummary summary, SetEvaluation found, IReadOnlyList<string> written)
    {
        DecompositionScores scores = found.Scores;
        List<string[]> rows =
        [
            ["reconstruction", "MSE", Text(scores.Mse, "0.000000")],
            ["", "PSNR, dB", Text(scores.Psnr, "0.00")],
            ["", "SSIM", Text(scores.Ssim, "0.0000")],
        ];
        if (found.Lpips is { } lpips) rows.Add(["", "LPIPS", Text(lpips.Average(), "0.0000")]);
        if (found.Fid is double fid) rows.Add(["", "FID", Text(fid, "0.000")]);
        if (found.Kid is { } kid) rows.Add(["", "KID", $"{Text(kid.Mean, "0.00000")} +- {Text(kid.Deviation, "0.00000")}"]);
        if (found.KnowsObjects)
        {
            rows.Add(["objects", string.Create(CultureInfo.InvariantCulture, $"found, of {scores.Objects}"),
                Text(100 * scores.Found, "0.0'%'")]);
            rows.Add(["", "mean IoU", Text(scores.MeanIoU, "0.000")]);
            rows.Add(["", "ARI, foreground", Text(scores.AriForeground, "0.000")]);
            rows.Add(["", "ARI, all pixels", Text(scores.AriAll, "0.000")]);
            rows.Add(["attributes", "MIG", Text(scores.Mig, "0.000")]);
            rows.Add(["", "MCC", Text(scores.Mcc, "0.000")]);
        }
        TextTable.Write(to, ["", "measure", found.Name], 2, rows);
        if (FewImages(found) is { } warning) to.WriteLine(warning);
        foreach (string path in written) to.WriteLine(path);
        string leftOut = found.LeftOut > 0 ? $", {found.LeftOut} left out," : "";
        to.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"evaluated {summary.Images} image{(summary.Images == 1 ? "" : "s")}{leftOut} in {summary.Steps} steps and "
            + $"{summary.Seconds:0.00} s on {summary.Device.Description}"));
    }

    /// <summary>What to say of FID and KID; null where there are none, or there are images enough.</summary>
    public static string? FewImages(SetEvaluation found) => found.Fid is not null && found.Count < FeatureDistances.FewSamples
        ? $"FID and KID of fewer than {FeatureDistances.FewSamples} images mean little: these are of {found.Count}"
        : null;

    private static void WriteImage(Utf8JsonWriter json, SetEvaluation found, int i)
    {
        ImageScores image = found.Scores.Images[i];
        json.WriteStartObject();
        json.WriteString("name", found.NameOf(i));
        json.Number("mse", image.Mse);
        json.Number("psnr", image.Psnr);
        json.Number("ssim", image.Ssim);
        if (found.Lpips is { } lpips) json.Number("lpips", lpips[i]);
        if (image.Masks is { } masks)
        {
            json.Number("ari_foreground", masks.AriForeground);
            json.Number("ari", masks.AriAll);
            json.Integers("factor_of_object", masks.FactorOf);
            json.WriteStartArray("iou_of_object");
            foreach (double iou in masks.IoU)
            {
                if (double.IsFinite(iou)) json.WriteNumberValue(Math.Round(iou, 6));
                else json.WriteNullValue();
            }
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    private static void Number(this Utf8JsonWriter json, string name, double value)
    {
        if (double.IsFinite(value)) json.WriteNumber(name, value);
        else json.WriteNull(name);
    }

    private static string Text(double value, string format) =>
        double.IsNaN(value) ? "none" : double.IsInfinity(value) ? "infinite" : value.ToString(format, CultureInfo.InvariantCulture);
}
