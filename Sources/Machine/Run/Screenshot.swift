import Hardware

/// The display as a PNG file.
enum Screenshot {
    /// - Throws: `.failed` when the display is off or the file cannot be written.
    static func write(_ frame: PixelFrame?, to path: String) throws(MachineError) {
        guard let frame else { throw .failed("There is no screenshot for '\(path)': the display is off.") }
        try WholeFile.write(frame.png, to: path, what: "screenshot")
    }
}
