<?php
// Whoever's metadata lie in the folder is known; what a test wants otherwise stands beside them.
foreach (glob(getenv('PORTICO_SAML_HOME') . '/known/*.xml') as $file) {
    foreach (\SimpleSAML\Metadata\SAMLParser::parseDescriptorsString(file_get_contents($file)) as $id => $parser) {
        $known = $parser->getMetadata20SP();
        unset($known['entityDescriptor']);
        $more = is_file("$file.json") ? json_decode(file_get_contents("$file.json"), true) : [];
        $metadata[$id] = $more + $known;
    }
}
