extension PCIReport {
    /// Made by others than the board: a canned one.
    public init(_ name: String, device: Int, function: Int, bytes: [UInt8]) {
        self.init(name: name, device: device, function: function, bytes: bytes)
    }
}
