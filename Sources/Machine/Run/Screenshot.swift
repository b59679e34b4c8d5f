import Glibc
import Hardware

/// The display as a PNG file.
enum ScreenshotFile {
    /// - Throws: `.failed` when the display is off or the file cannot be written.
    static func write(_ frame: PixelFrame?, to path: String) throws(MachineError) {
        guard let frame else { throw .failed("There is no screenshot for '\(path)': the display is off.") }
        try WholeFile.write(frame.png, to: path, what: "screenshot")
    }
}

/// Pictures that the user takes by a key, numbered.
public enum Picture {
    /// - Returns: the file's name: `prefix`-1.png, or the first number that is free.
    /// - Throws: `.failed` when the display is off or the folder cannot be written.
    public static func save(_ frame: PixelFrame?, in folder: String, prefix: String) throws(MachineError) -> String {
        var number = 1
        while access("\(folder)/\(prefix)-\(number).png", F_OK) == 0 { number += 1 }
        let name = "\(prefix)-\(number).png"
        try ScreenshotFile.write(frame, to: folder + "/" + name)
        return name
    }
}
